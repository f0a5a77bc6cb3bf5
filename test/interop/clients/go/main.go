// A workload that holds its identity through go-spiffe and tells on stdout, one JSON object a line, what it sees.
//
//	interop-client workload                    watches everything; answers commands from stdin
//	interop-client watch                       watches its X.509-SVIDs, and nothing else
//	interop-client once                         tells its X.509-SVIDs and exits, with its connection open
//	interop-client server CLIENT_ID            answers over mTLS whoever shows CLIENT_ID
//	interop-client client ADDR SERVER_ID N R   N requests or more over mTLS, until both sides rotated R times
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type object map[string]any

var output sync.Mutex

func tell(line object) {
	output.Lock()
	defer output.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "workload":
		return workload(ctx)
	case len(args) == 1 && args[0] == "watch":
		return watch(ctx)
	case len(args) == 1 && args[0] == "once":
		return tellOnce(ctx)
	case len(args) == 2 && args[0] == "server":
		return serve(ctx, args[1])
	case len(args) == 5 && args[0] == "client":
		return request(ctx, args[1], args[2], args[3], args[4])
	}
	return fmt.Errorf("usage: interop-client workload | watch | once | server CLIENT_ID | client ADDR SERVER_ID N R")
}

// describe verifies each SVID against the bundle of its trust domain, as a peer would.
func describe(svids []*x509svid.SVID, bundles x509bundle.Source) ([]object, error) {
	described := []object{}
	for _, svid := range svids {
		id, _, err := x509svid.Verify(svid.Certificates, bundles)
		if err != nil {
			return nil, err
		}
		described = append(described, object{"id": id.String(), "serial": serialOf(svid)})
	}
	return described, nil
}

func serialOf(svid *x509svid.SVID) string {
	return svid.Certificates[0].SerialNumber.Text(16)
}

func sizes(set *x509bundle.Set) object {
	counts := object{}
	for _, bundle := range set.Bundles() {
		counts[bundle.TrustDomain().Name()] = len(bundle.X509Authorities())
	}
	return counts
}

func newSource(ctx context.Context) (*workloadapi.X509Source, error) {
	return workloadapi.NewX509Source(ctx)
}
