module icp-agent-package
go 1.25.0
require github.com/goreleaser/nfpm/v2 v2.44.2
