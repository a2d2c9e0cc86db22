# A managed cluster whose machines stand in the three private subnets. There is no SSH: whoever has to look at a machine
# uses Session Manager, which leaves a record and needs no open port and no key file.

data "aws_iam_policy_document" "assumed_by_cluster" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["eks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "assumed_by_machines" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "assumed_by_pods" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_cluster.json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "machines" {
  name               = "${var.name}-machines"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_machines.json
}

resource "aws_iam_role_policy_attachment" "machines" {
  for_each = toset([
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonSSMManagedInstanceCore",
  ])

  role       = aws_iam_role.machines.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_kms_key" "hub" {
  description             = "Secrets of the cluster, database, Valkey, files and backups of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_eks_cluster" "hub" {
  name     = var.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  enabled_cluster_log_types = ["api", "audit", "authenticator"]

  access_config {
    authentication_mode = "API"
  }

  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.private : subnet.id]
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.admin_networks
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.hub.arn
    }
  }

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

resource "aws_launch_template" "machines" {
  name_prefix = "${var.name}-"

  # A pod cannot ask for the machine's credentials: answers end after one hop, and a token is needed.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size = 50
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

resource "aws_eks_node_group" "hub" {
  cluster_name    = aws_eks_cluster.hub.name
  node_group_name = "hub"
  node_role_arn   = aws_iam_role.machines.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  instance_types  = [var.machine_type]

  scaling_config {
    min_size     = var.machines.least
    desired_size = var.machines.least
    max_size     = var.machines.most
  }

  update_config {
    max_unavailable = 1
  }

  launch_template {
    id      = aws_launch_template.machines.id
    version = aws_launch_template.machines.latest_version
  }

  # How many there are is the autoscaler's to say.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.machines]
}

# The network policies of deploy/kubernetes are enforced by the network plug-in, and only if it is told to.
resource "aws_eks_addon" "network" {
  cluster_name = aws_eks_cluster.hub.name
  addon_name   = "vpc-cni"
  # A new cluster comes with one that nobody manages; without this it would be a conflict.
  resolve_conflicts_on_create = "OVERWRITE"
  configuration_values        = jsonencode({ enableNetworkPolicy = "true" })
}

resource "aws_eks_addon" "others" {
  for_each = toset(["coredns", "kube-proxy", "metrics-server", "eks-pod-identity-agent", "aws-efs-csi-driver"])

  cluster_name = aws_eks_cluster.hub.name
  addon_name   = each.key
  depends_on   = [aws_eks_node_group.hub]

  resolve_conflicts_on_create = "OVERWRITE"
}
