package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// watcher tells of every update and every error of a watch.
type watcher struct{}

func (watcher) OnX509ContextUpdate(update *workloadapi.X509Context) {
	svids, err := describe(update.SVIDs, update.Bundles)
	if err != nil {
		tell(object{"event": "broken", "error": err.Error()})
		return
	}
	tell(object{"event": "x509", "svids": svids})
}

func (watcher) OnX509ContextWatchError(err error) {
	tell(object{"event": "x509-error", "error": err.Error()})
}

func (watcher) OnX509BundlesUpdate(set *x509bundle.Set) {
	tell(object{"event": "x509-bundles", "authorities": sizes(set)})
}

func (watcher) OnX509BundlesWatchError(err error) {
	tell(object{"event": "x509-bundles-error", "error": err.Error()})
}

func (watcher) OnJWTBundlesUpdate(set *jwtbundle.Set) {
	keys := object{}
	for _, bundle := range set.Bundles() {
		keys[bundle.TrustDomain().Name()] = len(bundle.JWTAuthorities())
	}
	tell(object{"event": "jwt-bundles", "keys": keys})
}

func (watcher) OnJWTBundlesWatchError(err error) {
	tell(object{"event": "jwt-bundles-error", "error": err.Error()})
}

func watch(ctx context.Context) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	tell(object{"event": "x509-ended", "error": client.WatchX509Context(ctx, watcher{}).Error()})
	select {}
}

func tellOnce(ctx context.Context) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	update, err := client.FetchX509Context(ctx)
	if err != nil {
		return err
	}
	svids, err := describe(update.SVIDs, update.Bundles)
	tell(object{"event": "x509", "svids": svids})
	return err
}

func workload(ctx context.Context) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	go func() { tell(object{"event": "x509-ended", "error": client.WatchX509Context(ctx, watcher{}).Error()}) }()
	go func() { _ = client.WatchX509Bundles(ctx, watcher{}) }()
	go func() { _ = client.WatchJWTBundles(ctx, watcher{}) }()

	// The sources have watches of their own; what asks them waits until they have something.
	x509Source := later(func() (*workloadapi.X509Source, error) { return newSource(ctx) })
	jwtSource := later(func() (*workloadapi.JWTSource, error) { return workloadapi.NewJWTSource(ctx) })

	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 1<<20)
	for commands.Scan() {
		words := strings.Fields(commands.Text())
		result, err := answer(ctx, client, x509Source, jwtSource, words[1:])
		reply := object{"reply": words[0], "result": result}
		if err != nil {
			reply = object{"reply": words[0], "error": err.Error()}
		}
		tell(reply)
	}
	return commands.Err()
}

func answer(
	ctx context.Context, client *workloadapi.Client,
	x509Source func() (*workloadapi.X509Source, error), jwtSource func() (*workloadapi.JWTSource, error),
	words []string,
) (any, error) {
	switch words[0] {
	case "fetch":
		update, err := client.FetchX509Context(ctx)
		if err != nil {
			return nil, err
		}
		return describe(update.SVIDs, update.Bundles)
	case "current":
		source, err := x509Source()
		if err != nil {
			return nil, err
		}
		svid, err := source.GetX509SVID()
		if err != nil {
			return nil, err
		}
		return object{"id": svid.ID.String(), "serial": serialOf(svid)}, nil
	case "jwt":
		source, err := jwtSource()
		if err != nil {
			return nil, err
		}
		svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: words[1]})
		if err != nil {
			return nil, err
		}
		return object{"id": svid.ID.String(), "token": svid.Marshal()}, nil
	case "verify":
		source, err := jwtSource()
		if err != nil {
			return nil, err
		}
		svid, err := jwtsvid.ParseAndValidate(words[2], source, []string{words[1]})
		if err != nil {
			return nil, err
		}
		return object{"id": svid.ID.String()}, nil
	case "validate":
		svid, err := client.ValidateJWTSVID(ctx, words[2], words[1])
		if err != nil {
			return nil, err
		}
		return object{"id": svid.ID.String()}, nil
	}
	return nil, fmt.Errorf("no such command: %s", words[0])
}
