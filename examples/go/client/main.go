// Asks a server of its own trust domain, over mutual TLS: go run ./client [PORT]
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	source, err := workloadapi.NewX509Source(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	svid, err := source.GetX509SVID()
	if err != nil {
		log.Fatal(err)
	}
	port := "8443"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain()))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	answer, err := client.Get("https://127.0.0.1:" + port + "/")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}
