"""Pages of servers and templates."""

from django.urls import path

from .views import browse, catalogue, console, create, detail, power

SERVER = "servers/<uuid:pk>"

app_name = "servers"
urlpatterns = [
    path("servers/", browse.server_list, name="server_list"),
    path("servers/bulk", browse.server_bulk, name="server_bulk"),
    path("servers/new", create.server_create, name="server_create"),
    path("servers/new/preview", create.server_preview, name="server_preview"),
    path(SERVER, detail.server_detail, name="server_detail"),
    path(f"{SERVER}/head", detail.server_head, name="server_head"),
    path(f"{SERVER}/body", detail.server_body, name="server_body"),
    path(f"{SERVER}/charts", detail.server_charts, name="server_charts"),
    path(f"{SERVER}/log", detail.server_log, name="server_log"),
    path(f"{SERVER}/console", console.server_console, name="server_console"),
    path(f"{SERVER}/operations", detail.server_operations, name="server_operations"),
    path(f"{SERVER}/settings", detail.server_settings, name="server_settings"),
    path(f"{SERVER}/activity", detail.server_activity, name="server_activity"),
    path(f"{SERVER}/credentials", detail.server_credentials, name="server_credentials"),
    path(f"{SERVER}/credentials/rotate", detail.server_rotate, name="server_rotate"),
    *(
        path(f"{SERVER}/ports/<slug:port_name>/{verb}", detail.server_port, {"verb": verb}, name=f"port_{verb}")
        for verb in ("move", "publish", "withdraw")
    ),
    *(path(f"{SERVER}/{verb}", power.server_power, {"verb": verb}, name=f"server_{verb}") for verb in power.VERBS),
    path(f"{SERVER}/kill", power.server_kill, name="server_kill"),
    path(f"{SERVER}/delete", power.server_delete, name="server_delete"),
    path(f"{SERVER}/suspend", power.server_suspend, name="server_suspend"),
    path("templates/", catalogue.template_list, name="template_list"),
    path("templates/new", catalogue.template_create, name="template_create"),
    path("templates/<slug:slug>", catalogue.template_detail, name="template_detail"),
    path("templates/<slug:slug>/edit", catalogue.template_update, name="template_update"),
    path("templates/<slug:slug>/try", catalogue.template_try, name="template_try"),
    path("templates/<slug:slug>/trial", catalogue.template_trial, name="template_trial"),
]
