# One node with integrated storage, on a network that only control and the sidecar are in. It starts sealed.
ui = false
disable_standby_reads = true

listener "tcp" {
  address     = "0.0.0.0:8200"
  tls_disable = true
}

storage "raft" {
  path    = "/openbao/file"
  node_id = "openbao"
}

api_addr     = "http://openbao:8200"
cluster_addr = "http://openbao:8201"
