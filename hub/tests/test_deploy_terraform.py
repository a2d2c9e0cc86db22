"""deploy/terraform: read by a parser of the language, without the faults of the seed. No provider judges it here."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import hcl2
import yaml
from django.conf import settings

TERRAFORM = Path(settings.BASE_DIR) / "deploy" / "terraform"
FILES = sorted(TERRAFORM.glob("*.tf"))
WORLD = ("0.0.0.0/0", "::/0")
RETIRED_FIELDS = ("password", "master_password", "access_key", "secret_key", "user_data", "key_name", "public_key")


def plain(value: Any) -> Any:
    """Without the parser's marks: quotes of strings, and which of the mappings are blocks."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value[1:-1] if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"' else value


@cache
def blocks(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in FILES:
        with path.open() as file:
            found += plain(hcl2.load(file)).get(kind, [])
    return found


def resources(kind: str = "") -> dict[str, dict[str, Any]]:
    """Resources by `kind.name`, all or those of a kind."""
    return {
        f"{made}.{name}": body
        for block in blocks("resource")
        for made, named in block.items()
        for name, body in named.items()
        if kind in ("", made)
    }


def only(kind: str) -> dict[str, Any]:
    (body,) = resources(kind).values()
    return body


def variables() -> dict[str, dict[str, Any]]:
    return {name: body for block in blocks("variable") for name, body in block.items()}


def text() -> str:
    return "\n".join(path.read_text() for path in FILES)


def test_everything_that_is_named_is_there() -> None:
    words = re.sub(r"#.*|description\s*=.*|error_message\s*=.*", "", text())
    data = {f"data.{kind}.{name}" for block in blocks("data") for kind, named in block.items() for name in named}
    local = {name for block in blocks("locals") for name in block}

    assert set(re.findall(r"(?<![\w.])aws_\w+\.\w+", words)) <= resources().keys()
    assert set(re.findall(r"data\.\w+\.\w+", words)) == data
    assert set(re.findall(r"\bvar\.(\w+)", words)) == variables().keys()
    assert set(re.findall(r"\blocal\.(\w+)", words)) == local


def test_providers_and_program_are_pinned() -> None:
    (block,) = blocks("terraform")

    assert block["required_version"].startswith("~> 1.")
    for provider in block["required_providers"][0].values():
        assert re.fullmatch(r"~> \d+\.\d+", provider["version"])
    (backend,) = (each["s3"] for each in block["backend"])
    assert backend["encrypt"] is True
    assert backend["use_lockfile"] is True


def test_variables_are_described_typed_and_judged() -> None:
    for name, body in variables().items():
        assert body["description"].endswith("."), name
        assert "type" in body, name
        assert body["validation"], name
        assert all(each["error_message"].endswith(".") for each in body["validation"]), name


def test_outputs_are_described_and_hold_no_secret() -> None:
    for block in blocks("output"):
        for name, body in block.items():
            assert body["description"], name
            assert "token" not in str(body["value"]), name


def test_example_names_all_that_has_no_default() -> None:
    """The version of Kubernetes among them: one that is the default today is out of support in a year."""
    asked = {name for name, body in variables().items() if "default" not in body and not body.get("sensitive")}
    example = hcl2.loads((TERRAFORM / "example.tfvars").read_text())

    assert "kubernetes_version" in asked
    assert asked <= example.keys()


def test_no_secret_stands_in_clear() -> None:
    for name, body in variables().items():
        if re.search("token|password|secret|key", name):
            assert body["sensitive"] is True, name
            assert "default" not in body, name
    for name, body in resources().items():
        assert not body.keys() & {*RETIRED_FIELDS}, name
    assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text())
    assert only("aws_db_instance")["manage_master_user_password"] is True
    assert "token" not in (TERRAFORM / "example.tfvars").read_text().partition("\n")[2]


def test_network_has_three_subnets_of_each_kind_in_three_zones_d2_d99() -> None:
    """D99: one public subnet in one zone."""
    zones = variables()["zones"]["default"]
    subnets = resources("aws_subnet")

    assert len({*zones}) == 3
    assert subnets.keys() == {"aws_subnet.public", "aws_subnet.private", "aws_subnet.database"}
    for name, body in subnets.items():
        assert body["for_each"] == "${local.zones}", name
        assert body["availability_zone"] == "${each.key}", name
        assert body.get("map_public_ip_on_launch", False) is False, name
    whole = ip_network(variables()["network"]["default"])
    networks = []
    for body in subnets.values():
        bits, offset = re.findall(r"cidrsubnet\(var\.network, (\d+), each\.value(?: \+ (\d+))?\)", body["cidr_block"])[
            0
        ]
        cut = list(whole.subnets(prefixlen_diff=int(bits)))
        networks += [cut[index + int(offset or 0)] for index in range(len(zones))]
    assert len(networks) == 9
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_each_zone_has_a_way_out_and_databases_have_none() -> None:
    tables = resources("aws_route_table")

    assert only("aws_nat_gateway")["for_each"] == "${local.zones}"
    assert tables["aws_route_table.private"]["for_each"] == "${local.zones}"
    assert tables["aws_route_table.private"]["route"][0]["nat_gateway_id"] == "${aws_nat_gateway.out[each.key].id}"
    assert "route" not in tables["aws_route_table.database"]


def test_nothing_is_open_to_the_world_ssh_and_api_server_least_d99() -> None:
    """D99: the seed opened 22, 80 and 6443 to everybody."""
    for kind in ("aws_security_group", "aws_vpc_security_group_ingress_rule", "aws_default_security_group"):
        for name, body in resources(kind).items():
            assert not any(address in str(body) for address in WORLD), name
            assert not {"ingress", "egress", "cidr_ipv4", "cidr_ipv6"} & body.keys(), name
    ports = [body["from_port"] for body in resources("aws_vpc_security_group_ingress_rule").values()]
    assert sorted(ports) == [2049, 5432, 6379]
    assert not resources("aws_vpc_security_group_egress_rule"), "D80: databases answer and ask nobody"
    access = only("aws_eks_cluster")["vpc_config"][0]
    assert access["public_access_cidrs"] == "${var.admin_networks}"
    assert access["endpoint_private_access"] is True
    assert "default" not in variables()["admin_networks"]
    assert any(">= 16" in each["condition"] for each in variables()["admin_networks"]["validation"])
    for name, body in resources().items():  # routes are the only place in which the world may stand
        assert name.startswith("aws_route_table.") or not any(address in str(body) for address in WORLD), name


def test_there_is_no_key_file_whose_path_could_be_wrong_d3() -> None:
    """D3: the path of an SSH key, relative and then absolute. Machines are entered over Session Manager."""
    assert not {kind for kind in ("aws_key_pair", "tls_private_key", "aws_instance") if resources(kind)}
    assert not re.search(r"\bfile\(|remote_access", text())
    assert "AmazonSSMManagedInstanceCore" in str(resources("aws_iam_role_policy_attachment"))


def test_cluster_stands_in_all_zones_with_small_rights_d49_d99() -> None:
    """D49, D99: what was claimed to fail over had one machine."""
    machines = only("aws_eks_node_group")
    template = only("aws_launch_template")

    assert machines["subnet_ids"] == "${[for subnet in aws_subnet.private : subnet.id]}"
    assert variables()["machines"]["default"]["least"] >= 3
    assert template["metadata_options"][0]["http_tokens"] == "required"
    assert template["block_device_mappings"][0]["ebs"][0]["encrypted"] is True
    assert only("aws_eks_cluster")["encryption_config"][0]["resources"] == ["secrets"]
    assert 'enableNetworkPolicy = "true"' in text()  # else the policies of deploy/kubernetes are decoration
    assert {body["resolve_conflicts_on_create"] for body in resources("aws_eks_addon").values()} == {"OVERWRITE"}
    assert "AdministratorAccess" not in text()


def test_database_is_in_several_zones_and_can_be_taken_back_d24_d46_d99() -> None:
    """D46, D99: several zones were claimed, and no database existed in the code. D24: seven days at least."""
    database = only("aws_db_instance")

    assert database["multi_az"] is True
    assert database["publicly_accessible"] is False
    assert database["storage_encrypted"] is True
    assert database["backup_retention_period"] == "${var.snapshot_days}"
    assert ">= 7" in variables()["snapshot_days"]["validation"][0]["condition"]
    assert variables()["snapshot_days"]["default"] >= 7
    assert database["deletion_protection"] == "${local.is_production}"
    assert database["skip_final_snapshot"] == "${!local.is_production}"
    parameters = {each["name"]: each["value"] for each in only("aws_db_parameter_group")["parameter"]}
    assert parameters["rds.force_ssl"] == "1"
    valkey = only("aws_elasticache_replication_group")
    for option in ("multi_az_enabled", "automatic_failover_enabled", "transit_encryption_enabled"):
        assert valkey[option] is True, option
    assert valkey["at_rest_encryption_enabled"] is True
    assert valkey["num_cache_clusters"] == 3


def test_bucket_is_encrypted_versioned_and_closed_d24() -> None:
    """D24: an export to S3 of which nothing was said."""
    for option in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
        assert only("aws_s3_bucket_public_access_block")[option] is True, option
    assert only("aws_s3_bucket_versioning")["versioning_configuration"][0]["status"] == "Enabled"
    (rule,) = only("aws_s3_bucket_server_side_encryption_configuration")["rule"]
    assert rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "aws:kms"
    assert only("aws_s3_bucket")["force_destroy"] is False
    (rule,) = only("aws_s3_bucket_lifecycle_configuration")["rule"]
    # By age the store's salt would go, and whatever has not changed since: nothing that is left would open.
    assert rule["expiration"] == [{"expired_object_delete_marker": True}]
    assert rule["noncurrent_version_expiration"] == [{"noncurrent_days": "${var.backup_days}"}]
    assert variables()["backup_days"]["default"] >= 30
    (closed,) = (
        named["backups_over_tls"] for block in blocks("data") for named in block.values() if "backups_over_tls" in named
    )
    (denied,) = closed["statement"]
    assert (denied["effect"], denied["condition"][0]["variable"]) == ("Deny", "aws:SecureTransport")
    assert {body["bucket"] for name, body in resources().items() if name.startswith("aws_s3_bucket_")} == {
        "${aws_s3_bucket.backups.id}"
    }


def test_pods_that_keep_backups_reach_the_bucket_and_nothing_else() -> None:
    (given,) = (named["backups"] for block in blocks("data") for named in block.values() if "backups" in named)
    for statement in given["statement"]:
        assert "*" not in statement["actions"]
        assert all("aws_s3_bucket.backups.arn" in each or "aws_kms_key.hub" in each for each in statement["resources"])
    scheduler = (TERRAFORM.parent / "kubernetes" / "base" / "scheduler.yaml").read_text()
    account = resources("aws_eks_pod_identity_association")["aws_eks_pod_identity_association.backups"]
    assert f"serviceAccountName: {account['service_account']}\n" in scheduler


def test_shared_files_are_encrypted_kept_and_reached_in_every_zone() -> None:
    files, target = only("aws_efs_file_system"), only("aws_efs_mount_target")

    assert files["encrypted"] is True
    assert only("aws_efs_backup_policy")["backup_policy"][0]["status"] == "ENABLED"
    assert target["for_each"] == "${local.zones}"
    assert target["subnet_id"] == "${aws_subnet.private[each.key].id}"
    assert "aws-efs-csi-driver" in resources("aws_eks_addon")["aws_eks_addon.others"]["for_each"]


def test_cloud_set_asks_for_what_is_made_here() -> None:
    cloud = TERRAFORM.parent / "kubernetes" / "cloud"
    policy = yaml.safe_load((cloud / "policies.yaml").read_text())
    (asked,) = ([peer["ipBlock"]["cidr"] for peer in rule["to"]] for rule in policy["spec"]["egress"])
    whole = ip_network(variables()["network"]["default"])
    cut = [str(each) for each in whole.subnets(prefixlen_diff=8)]
    named = {name for block in blocks("output") for name in block}

    assert asked == cut[8:11]  # cidrsubnet(var.network, 8, each.value + 8)
    text = "".join(path.read_text() for path in cloud.glob("*.yaml"))
    # As network.tf cuts them: sixteenths, from the second on.
    machines = [str(each) for each in whole.subnets(prefixlen_diff=4)][1:4]
    assert f"HUB_TRUSTED_PROXIES={','.join(machines)}\n" in text
    assert {*re.findall(r"`terraform output (\w+)`", text)} == {
        "database_networks",
        "machine_networks",
        "file_system",
        "backup_bucket",
    }
    assert {*re.findall(r"`terraform output (\w+)`", text)} <= named
