# Kutanga Hub: `make up` runs it, `make test` tests it. Everything else is in docs/running.md.
# Names that matter (HUB_PORT, HUB_BIND, HUB_DATA, DATABASE_URL, ...) come from the environment or the command line.

PYTHON ?= python3
LAUNCH := @$(PYTHON) -m hub.launcher

.PHONY: help up down status logs reset install test lint types format migrations-check client bench chaos load docs sbom deploy

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## start the hub and stay with it; DETACH=1 returns once everything is ready
	$(LAUNCH) up $(if $(DETACH),--detach)

down: ## stop the hub
	$(LAUNCH) down

status: ## what runs, since when, and how it feels
	$(LAUNCH) status

logs: ## follow all logs; NAME=web for one
	$(LAUNCH) logs $(NAME)

reset: ## delete all data, after asking; YES=1 does not ask
	$(LAUNCH) reset $(if $(YES),--yes)

install: ## install packages and front-end files for development
	$(LAUNCH) install

test: ## run the tests; ARGS="-k name" chooses
	$(LAUNCH) test $(ARGS)

lint: ## check style and import rules
	$(LAUNCH) lint $(ARGS)

types: ## check types; ARGS=path for a part
	$(LAUNCH) types $(ARGS)

format: ## mend style
	$(LAUNCH) format $(ARGS)

migrations-check: ## is a migration missing, or one that the version before cannot live with?
	$(LAUNCH) migrations-check

client: ## write clients/python/ again, after the API has changed
	$(LAUNCH) client $(ARGS)

bench: ## measure; ARGS="name …" for some of it; the whole of it writes docs/measured.md
	$(LAUNCH) bench $(ARGS)

chaos: ## break the parts of a hub on scratch data one by one; ARGS="web agent" chooses
	$(LAUNCH) chaos $(ARGS)

load: ## many people at once on a hub on scratch data; ARGS="mixed" chooses the shape
	$(LAUNCH) load $(ARGS)

docs: ## build the documentation into build/site; a link that leads nowhere is an error
	$(LAUNCH) docs $(ARGS)

sbom: ## list what the hub is made of, with licences, in build/sbom.json (CycloneDX); IMAGE=… what an image has in it
	$(if $(IMAGE),@mkdir -p build && docker run --rm "$(IMAGE)" cat /usr/share/kutanga-hub/sbom.json >build/sbom.json,$(LAUNCH) sbom $(ARGS))

deploy: ## bring IMAGE=… to the cluster of kubectl's context and wait; SET=base, k3s or cloud
	@deploy/kubernetes/apply "$(SET)" "$(IMAGE)"
