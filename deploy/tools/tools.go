//go:build tools

// Not a Go program: this file and go.sum pin the test tools that only Go's module system carries.
// deploy/install-deps builds them with the Go that is there, Debian's 1.19 or newer.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "github.com/yannh/kubeconform/cmd/kubeconform"
)
