# What all pods of the hub share: bundles, files of challenges, and the backups before they go to the bucket. One file system
# with an address in each zone; the claims of deploy/kubernetes/cloud are directories of it.

resource "aws_efs_file_system" "hub" {
  creation_token  = var.name
  encrypted       = true
  kms_key_id      = aws_kms_key.hub.arn
  throughput_mode = "elastic"

  tags = { Name = var.name }
}

resource "aws_efs_backup_policy" "hub" {
  file_system_id = aws_efs_file_system.hub.id

  backup_policy {
    status = "ENABLED"
  }
}

resource "aws_efs_mount_target" "hub" {
  for_each = local.zones

  file_system_id  = aws_efs_file_system.hub.id
  subnet_id       = aws_subnet.private[each.key].id
  security_groups = [aws_security_group.files.id]
}

resource "aws_security_group" "files" {
  name        = "${var.name}-files"
  description = "Shared files, for the machines of the cluster alone."
  vpc_id      = aws_vpc.hub.id
}

resource "aws_vpc_security_group_ingress_rule" "files" {
  security_group_id            = aws_security_group.files.id
  description                  = "NFS from the cluster"
  referenced_security_group_id = aws_eks_cluster.hub.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

# Who makes a directory for each claim.
resource "aws_iam_role" "files" {
  name               = "${var.name}-files"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_pods.json
}

resource "aws_iam_role_policy_attachment" "files" {
  role       = aws_iam_role.files.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEFSCSIDriverPolicy"
}

resource "aws_eks_pod_identity_association" "files" {
  cluster_name    = aws_eks_cluster.hub.name
  namespace       = "kube-system"
  service_account = "efs-csi-controller-sa"
  role_arn        = aws_iam_role.files.arn
}
