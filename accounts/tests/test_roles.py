from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from accounts import roles

pytestmark = pytest.mark.django_db

# DESIGN's table, column by column: what each role may do at all.
MAY = {
    "Admin": {"servers.create", "servers.view_any", "servers.control_any", "templates.change", "nodes.change"},
    "Operator": {"servers.create", "servers.view_any", "servers.control_any", "templates.change", "audit.view"},
    "Viewer": {"servers.view", "servers.view_any", "instances.view_any", "devices.view_any", "audit.view"},
    "Player": {"servers.create", "servers.view", "servers.control", "tokens.own", "templates.view"},
}
MAY_NOT = {
    "Admin": set(),
    "Operator": {"nodes.change", "pools.change", "users.change_any", "roles.change", "quotas.change", "teams.purge"},
    "Viewer": {"servers.create", "servers.control", "servers.control_any", "templates.change", "tokens.own"},
    "Player": {"servers.view_any", "servers.control_any", "templates.change", "nodes.view", "audit.view"},
}


@pytest.mark.parametrize("role", roles.ROLES)
def test_table_says_what_each_role_may(role):
    verbs = roles.verbs_of(frozenset({role}))

    assert verbs >= MAY[role]
    assert not verbs & MAY_NOT[role]


def test_admin_may_everything():
    assert roles.verbs_of(frozenset({roles.ADMIN})) == set(roles.VERBS)


def test_every_any_verb_has_a_plain_form():
    plain = {verb.removesuffix("_any") for verb in roles.VERBS if verb.endswith("_any")}

    assert plain - set(roles.VERBS) <= {"addresses.release"}


def test_groups_exist_after_migrate():
    assert set(Group.objects.values_list("name", flat=True)) >= set(roles.ROLES)


def test_sync_makes_missing_groups_and_keeps_the_others():
    Group.objects.filter(name=roles.VIEWER).delete()
    keys = dict(Group.objects.values_list("name", "pk"))

    roles.sync_roles()

    now = dict(Group.objects.values_list("name", "pk"))
    assert set(now) == set(roles.ROLES)
    assert all(now[name] == pk for name, pk in keys.items())


def test_admin_site_nouns_name_models_that_exist():
    installed = {
        config.label: {model._meta.model_name for model in config.get_models()} for config in apps.get_app_configs()
    }

    for label in roles.MODEL_NOUNS:
        app_label, _, model = label.partition(".")
        assert not installed.get(app_label) or model in installed[app_label], label
