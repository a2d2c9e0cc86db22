variable "region" {
  description = "Region of AWS; it must have three zones."
  type        = string
  default     = "ap-southeast-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region reads like ap-southeast-1."
  }
}

variable "zones" {
  description = "The three zones that everything is spread over."
  type        = list(string)
  default     = ["ap-southeast-1a", "ap-southeast-1b", "ap-southeast-1c"]

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3
    error_message = "Name three different zones."
  }
}

variable "name" {
  description = "First part of every name."
  type        = string
  default     = "kutanga-hub"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "Small letters, digits and hyphens, 3 to 30 of them."
  }
}

variable "environment" {
  description = "What it is for; staging lets itself be destroyed."
  type        = string
  default     = "production"

  validation {
    condition     = contains(["production", "staging"], var.environment)
    error_message = "Either production or staging."
  }
}

variable "network" {
  description = "Addresses of the whole network, a /16."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.network, 0)) && endswith(var.network, "/16")
    error_message = "A network in CIDR form with 16 bits, such as 10.0.0.0/16."
  }
}

variable "admin_networks" {
  description = "Networks from which people reach the API server of the cluster; never the whole world."
  type        = list(string)

  validation {
    condition     = length(var.admin_networks) > 0 && alltrue([for each in var.admin_networks : can(cidrhost(each, 0))])
    error_message = "Name at least one network in CIDR form."
  }

  validation {
    condition     = alltrue([for each in var.admin_networks : tonumber(split("/", each)[1]) >= 16])
    error_message = "A network wider than /16 is no network of administrators."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes, one in standard support; deploy/kubernetes is validated against 1.33 and 1.37."
  type        = string

  validation {
    condition     = can(regex("^1\\.(2[89]|[3-9][0-9])$", var.kubernetes_version))
    error_message = "A version reads like 1.35, and is 1.28 at least."
  }
}

variable "machine_type" {
  description = "Kind of the cluster's machines."
  type        = string
  default     = "m7i.large"

  validation {
    condition     = !can(regex("\\.(nano|micro|small)$", var.machine_type))
    error_message = "Three web processes, scheduler and agent do not fit a machine that small."
  }
}

variable "machines" {
  description = "Machines of the cluster: least and most. At least one in each zone."
  type        = object({ least = number, most = number })
  default     = { least = 3, most = 9 }

  validation {
    condition     = var.machines.least >= 3 && var.machines.most >= var.machines.least
    error_message = "At least three, and no fewer at most than at least."
  }
}

variable "database_class" {
  description = "Kind of the database's machine; each of the two zones has one."
  type        = string
  default     = "db.m7g.large"

  validation {
    condition     = startswith(var.database_class, "db.")
    error_message = "A class of RDS begins with db."
  }
}

variable "database_gb" {
  description = "Room of the database at the start; it grows by itself to five times that."
  type        = number
  default     = 50

  validation {
    condition     = var.database_gb >= 20 && var.database_gb <= 10000
    error_message = "20 to 10000 GB."
  }
}

variable "snapshot_days" {
  description = "Days that the database can be taken back to any second of."
  type        = number
  default     = 14

  validation {
    condition     = var.snapshot_days >= 7 && var.snapshot_days <= 35
    error_message = "7 to 35 days."
  }
}

variable "redis_class" {
  description = "Kind of the machines of Valkey; each of three zones has one."
  type        = string
  default     = "cache.m7g.large"

  validation {
    condition     = startswith(var.redis_class, "cache.")
    error_message = "A class of ElastiCache begins with cache."
  }
}

variable "redis_token" {
  description = "Password of Valkey, from TF_VAR_redis_token and from nowhere else. It goes into the state, which is encrypted."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,128}$", var.redis_token))
    error_message = "32 to 128 letters, digits, hyphens and underscores."
  }
}

variable "backup_days" {
  description = "Days that what was overwritten or deleted in the bucket can be had back; how many backups are kept is the hub's setting."
  type        = number
  default     = 35

  validation {
    condition     = var.backup_days >= 30
    error_message = "At least 30 days."
  }
}
