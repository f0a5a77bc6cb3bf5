// Tells which identities this process has, now and after each change.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type teller struct{}

func (teller) OnX509ContextUpdate(x509 *workloadapi.X509Context) {
	for _, svid := range x509.SVIDs {
		fmt.Println(svid.ID, "until", svid.Certificates[0].NotAfter)
	}
}

func (teller) OnX509ContextWatchError(err error) { log.Print(err) }

func main() {
	log.Fatal(workloadapi.WatchX509Context(context.Background(), teller{}))
}
