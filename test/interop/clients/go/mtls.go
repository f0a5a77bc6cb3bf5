package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
)

// hello is what the server tells each client: who it saw.
type hello struct {
	Peer string `json:"peer"`
}

func serve(ctx context.Context, clientID string) error {
	source, err := newSource(ctx)
	if err != nil {
		return err
	}
	allowed, err := spiffeid.FromString(clientID)
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(allowed))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	tell(object{"event": "listening", "address": listener.Addr().String()})
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(hello{Peer: r.TLS.PeerCertificates[0].URIs[0].String()})
	}))
}

// request alternates between new connections and one that is kept, so that both handshakes and streams meet rotations.
func request(ctx context.Context, address, serverID, requests, rotations string) error {
	least, err := strconv.Atoi(requests)
	if err != nil {
		return err
	}
	turns, err := strconv.Atoi(rotations)
	if err != nil {
		return err
	}
	source, err := newSource(ctx)
	if err != nil {
		return err
	}
	expected, err := spiffeid.FromString(serverID)
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected))
	kept := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	fresh := &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	count, failures := 0, []string{}
	own, theirs, peers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); count++ {
		if count >= least && len(own) > turns && len(theirs) > turns {
			break
		}
		client := fresh
		if count%2 == 0 {
			client = kept
		}
		serial, peer, err := once(client, address)
		if err != nil {
			failures = append(failures, err.Error())
		} else {
			theirs[serial], peers[peer] = true, true
		}
		if svid, err := source.GetX509SVID(); err == nil {
			own[serialOf(svid)] = true
		}
		time.Sleep(20 * time.Millisecond)
	}
	seen := []string{}
	for peer := range peers {
		seen = append(seen, peer)
	}
	tell(object{
		"event": "done", "requests": count, "failures": failures, "seenAs": seen,
		"ownRotations": len(own) - 1, "peerRotations": len(theirs) - 1,
	})
	return nil
}

func once(client *http.Client, address string) (serial, peer string, err error) {
	response, err := client.Get("https://" + address)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	var answer hello
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", "", fmt.Errorf("reading the answer: %w", err)
	}
	return response.TLS.PeerCertificates[0].SerialNumber.Text(16), answer.Peer, nil
}
