output "cluster" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.hub.name
}

output "database_address" {
  description = "Host and port of DATABASE_URL; add `?sslmode=require`."
  value       = aws_db_instance.hub.endpoint
}

output "database_secret" {
  description = "Name in Secrets Manager of the master's user and password, for `manage.py database_roles`; renewed every week."
  value       = aws_db_instance.hub.master_user_secret[0].secret_arn
}

output "redis_address" {
  description = "Host of REDIS_URL, which begins with rediss:// and has the token as its password."
  value       = aws_elasticache_replication_group.hub.primary_endpoint_address
}

output "database_networks" {
  description = "Networks of the databases, for the network policy `databases`."
  value       = [for subnet in aws_subnet.database : subnet.cidr_block]
}

output "machine_networks" {
  description = "Networks of machines and pods, the ingress controller's among them, for HUB_TRUSTED_PROXIES in deploy/kubernetes/cloud/kustomization.yaml."
  value       = [for subnet in aws_subnet.private : subnet.cidr_block]
}

output "file_system" {
  description = "File system of the storage class in deploy/kubernetes/cloud/files.yaml."
  value       = aws_efs_file_system.hub.id
}

output "backup_bucket" {
  description = "Bucket for backups, for HUB_BACKUP_STORE in deploy/kubernetes/cloud/kustomization.yaml."
  value       = aws_s3_bucket.backups.bucket
}
