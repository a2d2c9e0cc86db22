# One image for web, scheduler, agent and migrations; the command decides. Any Debian of Python 3.11 or newer will do as
# its base: docker build --build-arg BASE_IMAGE=debian:trixie-slim .
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS system
# The agent lays firewall rules and holds addresses; the others need Python alone.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates iproute2 iptables python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent hub \
    && install --directory --owner=hub --group=hub --mode=0750 /data \
    && install --directory --owner=hub --group=hub --mode=0755 /run/hub

FROM system AS packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends locales python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && localedef --no-archive --inputfile=en_US --charmap=UTF-8 /usr/lib/locale/en_US.utf8
WORKDIR /app
# npm brings a list of authorities of its own; a base image may know more, such as a company's.
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
# What the installation depends on, and nothing else: it is done again only when one of these changes.
COPY requirements.txt package.json package-lock.json ./
COPY hub/__init__.py hub/
COPY hub/launcher hub/launcher
RUN python3 -c "from hub.launcher import bootstrap, console, place; \
bootstrap.prepare(place.Place.from_environment({}), console.Console())"

FROM system AS whole
WORKDIR /app
COPY --from=packages /app/.venv .venv
COPY . .
COPY --from=packages /app/static/vendor static/vendor
# What PostgreSQL's own image, and many a machine, makes its databases with: a server that lacks it cannot read a backup of them.
COPY --from=packages /usr/lib/locale/en_US.utf8 /usr/lib/locale/en_US.utf8
ENV PATH=/app/.venv/bin:$PATH \
    DJANGO_SETTINGS_MODULE=hub.settings \
    HUB_DATA=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER hub
VOLUME /data
EXPOSE 8000
# Asks the web; where HUB_ALIVE names a file, looks how long ago the loop of this container touched it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["python", "-m", "hub.alive"]
# As a subreaper, because in the host's pid namespace the agent is not the first process.
ENTRYPOINT ["tini", "-s", "--"]
CMD ["gunicorn", "hub.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--graceful-timeout", "10", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]

# What is in the image, Debian's packages included, as a bill of materials; the program that writes it stays outside.
FROM whole AS bill
USER root
COPY requirements-dev.txt /tmp/
RUN grep -hE '^[A-Za-z0-9._-]+==' requirements.txt /tmp/requirements-dev.txt > /tmp/pins.txt \
    && python -m pip install --quiet --disable-pip-version-check --no-compile \
        --target /tmp/tools --constraint /tmp/pins.txt cyclonedx-python-lib \
    && env PYTHONPATH=/tmp/tools $(python -c "from hub.launcher.tools import NO_SERVICES as unused; \
print(*(f'{name}={value}' for name, value in unused.items()))") \
        python manage.py sbom --installed --output /tmp/sbom.json

FROM whole
COPY --from=bill /tmp/sbom.json /usr/share/kutanga-hub/sbom.json
