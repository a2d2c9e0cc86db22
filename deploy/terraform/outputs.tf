output "cluster" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.hub.name
}

output "database_address" {
  description = "Host and port of DATABASE_URL; add `?sslmode=require`."
  value       = aws_db_instance.hub.endpoint
}

output "database_secret" {
  description = "Name in Secrets Manager of the database's user and password, for External Secrets."
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

output "backup_bucket" {
  description = "Bucket for backups."
  value       = aws_s3_bucket.backups.bucket
}
