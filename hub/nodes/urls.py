"""Pages of nodes, regions, pools, addresses and operations."""

from django.urls import path

from . import upkeep_views, views

app_name = "nodes"
urlpatterns = [
    path("nodes/", views.node_list, name="node_list"),
    path("nodes/new", views.node_create, name="node_create"),
    path("nodes/<slug:name>/", views.node_detail, name="node_detail"),
    path("nodes/<slug:name>/edit", views.node_update, name="node_update"),
    path("nodes/<slug:name>/delete", views.node_delete, name="node_delete"),
    path("nodes/<slug:name>/drift", upkeep_views.node_drift, name="node_drift"),
    path("nodes/<slug:name>/drift/<slug:verb>", upkeep_views.node_mend, name="node_mend"),
    path("nodes/<slug:name>/cluster", upkeep_views.node_cluster, name="node_cluster"),
    path("nodes/<slug:name>/examine", upkeep_views.node_examine, name="node_examine"),
    path("nodes/<slug:name>/images", upkeep_views.node_images, name="node_images"),
    path("nodes/<slug:name>/images/tasks", upkeep_views.node_image_tasks, name="node_image_tasks"),
    path("nodes/<slug:name>/images/list", upkeep_views.node_images_list, name="node_images_list"),
    path("nodes/<slug:name>/images/pull", upkeep_views.node_image_pull, name="node_image_pull"),
    path("nodes/<slug:name>/images/remove", upkeep_views.node_images_remove, name="node_images_remove"),
    path("nodes/<slug:name>/data", upkeep_views.node_data, name="node_data"),
    path("nodes/<slug:name>/data/tasks", upkeep_views.node_data_tasks, name="node_data_tasks"),
    path("nodes/<slug:name>/data/list", upkeep_views.node_data_list, name="node_data_list"),
    path("nodes/<slug:name>/data/remove", upkeep_views.node_data_remove, name="node_data_remove"),
    path("nodes/<slug:name>/registries", upkeep_views.registry_set, name="registry_set"),
    path("nodes/<slug:name>/registries/forget", upkeep_views.registry_forget, name="registry_forget"),
    path("regions/", views.region_list, name="region_list"),
    path("pools/", views.pool_list, name="pool_list"),
    path("pools/new", views.pool_create, name="pool_create"),
    path("pools/<int:pk>/", views.pool_detail, name="pool_detail"),
    path("pools/<int:pk>/switch", views.pool_switch, name="pool_switch"),
    path("pools/<int:pk>/delete", views.pool_delete, name="pool_delete"),
    path("addresses/<int:pk>/block", views.address_block, name="address_block"),
    path("operations/", views.operation_list, name="operation_list"),
]
