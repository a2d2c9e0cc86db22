"""Pages of devices."""

from django.urls import path

from .views import browse, bundles, command, configure, decide, deploy, deployments, detail, enrolment, fleet, groups

DEVICE = "devices/<uuid:pk>"
DEPLOYMENT = "deployments/<uuid:pk>"

app_name = "devices"
urlpatterns = [
    path("fleet/", fleet.fleet_overview, name="fleet"),
    path("devices/", browse.device_list, name="device_list"),
    path("devices/bulk", browse.device_bulk, name="device_bulk"),
    path(DEVICE, detail.device_detail, name="device_detail"),
    path(f"{DEVICE}/head", detail.device_head, name="device_head"),
    path(f"{DEVICE}/log", detail.device_log, name="device_log"),
    path(f"{DEVICE}/config", configure.device_config, name="device_config"),
    path(f"{DEVICE}/config/back", configure.device_config_back, name="device_config_back"),
    path(f"{DEVICE}/deployments", detail.device_deployments, name="device_deployments"),
    path(f"{DEVICE}/commands", command.device_commands, name="device_commands"),
    path(f"{DEVICE}/commands/<uuid:command>/cancel", command.device_command_cancel, name="device_command_cancel"),
    path(f"{DEVICE}/activity", detail.device_activity, name="device_activity"),
    path(f"{DEVICE}/edit", detail.device_update, name="device_update"),
    *(path(f"{DEVICE}/{verb}", decide.device_decide, {"verb": verb}, name=f"device_{verb}") for verb in decide.AT_ONCE),
    *(path(f"{DEVICE}/{verb}", decide.device_ask, {"verb": verb}, name=f"device_{verb}") for verb in decide.ASKED),
    path(f"{DEVICE}/decommission", decide.device_decommission, name="device_decommission"),
    path(f"{DEVICE}/refuse-key", decide.device_refuse_key, name="device_refuse-key"),
    path("enrolment/", enrolment.enrolment_queue, name="enrolment"),
    path("enrolment/new", enrolment.device_preauthorise, name="device_preauthorise"),
    path("enrolment-tokens/", enrolment.token_list, name="token_list"),
    path("enrolment-tokens/<uuid:pk>/revoke", enrolment.token_revoke, name="token_revoke"),
    path("device-groups/", groups.group_list, name="group_list"),
    path("device-groups/<slug:slug>", groups.group_detail, name="group_detail"),
    path("device-groups/<slug:slug>/config", configure.group_config, name="group_config"),
    path("device-groups/<slug:slug>/config/back", configure.group_config_back, name="group_config_back"),
    path("device-groups/<slug:slug>/edit", groups.group_update, name="group_update"),
    path("device-groups/<slug:slug>/remove", groups.group_remove, name="group_remove"),
    path("device-groups/<slug:slug>/delete", groups.group_delete, name="group_delete"),
    path("bundles/", bundles.bundle_list, name="bundle_list"),
    path("bundles/new", bundles.bundle_upload, name="bundle_upload"),
    path("bundles/<uuid:pk>", bundles.bundle_detail, name="bundle_detail"),
    path("bundles/<uuid:pk>/file", bundles.bundle_file, name="bundle_file"),
    path("bundles/<uuid:pk>/piece", bundles.bundle_piece, name="bundle_piece"),
    path("bundles/<uuid:pk>/finish", bundles.bundle_finish, name="bundle_finish"),
    path("bundles/<uuid:pk>/invalidate", bundles.bundle_invalidate, name="bundle_invalidate"),
    path("bundles/<uuid:pk>/delete", bundles.bundle_delete, name="bundle_delete"),
    path("publisher-keys/", bundles.publisher_list, name="publisher_list"),
    path("publisher-keys/<int:pk>/switch", bundles.publisher_switch, name="publisher_switch"),
    path("deployments/", deployments.deployment_list, name="deployment_list"),
    path("deployments/new", deploy.deployment_create, name="deployment_create"),
    path(DEPLOYMENT, deployments.deployment_detail, name="deployment_detail"),
    path(f"{DEPLOYMENT}/cancel", deployments.deployment_cancel, name="deployment_cancel"),
    path(f"{DEPLOYMENT}/retry", deployments.deployment_retry, name="deployment_retry"),
    path(f"{DEPLOYMENT}/roll-back", deployments.deployment_roll_back, name="deployment_roll_back"),
    path(f"{DEPLOYMENT}/targets/<int:target>/end", deployments.target_force_quit, name="target_force_quit"),
]
