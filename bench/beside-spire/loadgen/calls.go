package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(4096))
}

func withHeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
}

// fetch opens a stream, takes its first message and closes it.
func fetch(client workload.SpiffeWorkloadAPIClient, patience time.Duration) (*workload.X509SVIDResponse, error) {
	ctx, cancel := context.WithTimeout(withHeader(context.Background()), patience)
	defer cancel()
	stream, err := client.FetchX509SVID(ctx, &workload.X509SVIDRequest{})
	if err != nil {
		return nil, err
	}
	return stream.Recv()
}

// steady reads the options that all repeated calls have, and repeats the work.
func steady(name string, args []string, work func(workload.SpiffeWorkloadAPIClient) error) (spread, error) {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	places := flags.Int("at-once", 1, "connections, each with one call at a time")
	length := flags.Duration("for", 5*time.Second, "how long")
	flags.Parse(args)
	return repeat(*socket, *places, *length, work)
}

// repeat runs work in several places at once for a time, each place on a connection of its own.
func repeat(socket string, places int, length time.Duration, work func(workload.SpiffeWorkloadAPIClient) error) (spread, error) {
	clients := make([]workload.SpiffeWorkloadAPIClient, places)
	for n := range clients {
		connection, err := dial(socket)
		if err != nil {
			return spread{}, err
		}
		defer connection.Close()
		clients[n] = workload.NewSpiffeWorkloadAPIClient(connection)
		if err := work(clients[n]); err != nil {
			return spread{}, fmt.Errorf("before the measure: %w", err)
		}
	}
	var lock sync.Mutex
	var times []float64
	var failures []error
	var all sync.WaitGroup
	began := time.Now()
	for _, client := range clients {
		all.Go(func() {
			var mine []float64
			var lost []error
			for time.Since(began) < length {
				start := time.Now()
				if err := work(client); err != nil {
					lost = append(lost, err)
					continue
				}
				mine = append(mine, float64(time.Since(start).Microseconds()))
			}
			lock.Lock()
			defer lock.Unlock()
			times = append(times, mine...)
			failures = append(failures, lost...)
		})
	}
	all.Wait()
	took := time.Since(began)
	result := spreadOf(times, failures)
	result.PerSecond = float64(len(times)) / took.Seconds()
	result.Lap = float64(took.Microseconds())
	return result, nil
}

func warm(args []string) (any, error) {
	return steady("warm", args, func(client workload.SpiffeWorkloadAPIClient) error {
		_, err := fetch(client, 10*time.Second)
		return err
	})
}

func jwt(args []string) (any, error) {
	return steady("jwt", args, func(client workload.SpiffeWorkloadAPIClient) error {
		ctx, cancel := context.WithTimeout(withHeader(context.Background()), 30*time.Second)
		defer cancel()
		_, err := client.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"bench"}})
		return err
	})
}

func validate(args []string) (any, error) {
	var token string
	return steady("validate", args, func(client workload.SpiffeWorkloadAPIClient) error {
		ctx, cancel := context.WithTimeout(withHeader(context.Background()), 30*time.Second)
		defer cancel()
		if token == "" {
			answer, err := client.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"bench"}})
			if err != nil {
				return err
			}
			token = answer.Svids[0].Svid
		}
		_, err := client.ValidateJWTSVID(ctx, &workload.ValidateJWTSVIDRequest{Audience: "bench", Svid: token})
		return err
	})
}

// one is a process that connects when its standard input ends, and prints how long its first SVID took.
func one(args []string) (any, error) {
	flags := flag.NewFlagSet("one", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	flags.Parse(args)
	os.Stdout.WriteString("ready\n")
	io.Copy(io.Discard, os.Stdin)
	start := time.Now()
	connection, err := dial(*socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if _, err := fetch(workload.NewSpiffeWorkloadAPIClient(connection), 60*time.Second); err != nil {
		return nil, err
	}
	return map[string]float64{"us": float64(time.Since(start).Microseconds())}, nil
}

// cold starts processes that wait, lets all go at once, and does that several times.
func cold(args []string) (any, error) {
	flags := flag.NewFlagSet("cold", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	processes := flags.Int("processes", 1, "so many at once")
	rounds := flags.Int("rounds", 20, "so often")
	flags.Parse(args)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var times []float64
	var failures []error
	for range *rounds {
		lap, lost, err := barrier(self, *socket, *processes)
		if err != nil {
			return nil, err
		}
		times = append(times, lap...)
		failures = append(failures, lost...)
	}
	return spreadOf(times, failures), nil
}

func barrier(self, socket string, processes int) ([]float64, []error, error) {
	type child struct {
		gate   io.Closer
		output *bufio.Reader
		wait   func() error
	}
	children := make([]child, 0, processes)
	for range processes {
		command := exec.Command(self, "one", "-socket", socket)
		command.Env = []string{"GOMAXPROCS=1"}
		gate, err := command.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		output, err := command.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		if err := command.Start(); err != nil {
			return nil, nil, err
		}
		started := child{gate, bufio.NewReader(output), command.Wait}
		if _, err := started.output.ReadString('\n'); err != nil {
			return nil, nil, err
		}
		children = append(children, started)
	}
	for _, waiting := range children {
		waiting.gate.Close()
	}
	var times []float64
	var failures []error
	for _, waiting := range children {
		var answer struct{ Us float64 }
		line, err := waiting.output.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &answer)
		}
		if ended := waiting.wait(); err == nil {
			err = ended
		}
		if err != nil {
			failures = append(failures, err)
		} else {
			times = append(times, answer.Us)
		}
	}
	return times, failures, nil
}

// streams opens streams, says so, and at a line on standard input waits until each had a message that is new to it.
// The next line asks again; the end of standard input ends it.
func streams(args []string) (any, error) {
	flags := flag.NewFlagSet("streams", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	count := flags.Int("streams", 1, "so many, of this process")
	each := flags.Int("each", 50, "streams a connection")
	patience := flags.Duration("patience", time.Minute, "how long a stream may be without its first message")
	flags.Parse(args)
	type seen struct {
		lock    sync.Mutex
		digest  [32]byte
		at      time.Time
		changes int
		// Holds one sign that something has changed: a thousand processes that look every few milliseconds would be the load.
		sign chan struct{}
	}
	all := make([]*seen, *count)
	failed := make(chan error, *count)
	begun := make(chan struct{}, *count)
	var connection *grpc.ClientConn
	for n := range all {
		all[n] = &seen{sign: make(chan struct{}, 1)}
		if n%*each == 0 {
			var err error
			if connection, err = dial(*socket); err != nil {
				return nil, err
			}
			defer connection.Close()
		}
		client := workload.NewSpiffeWorkloadAPIClient(connection)
		go func() {
			stream, err := client.FetchX509SVID(withHeader(context.Background()), &workload.X509SVIDRequest{})
			said := false
			for err == nil {
				var message *workload.X509SVIDResponse
				if message, err = stream.Recv(); err != nil {
					break
				}
				now := time.Now()
				digest := digestOf(message)
				all[n].lock.Lock()
				if digest != all[n].digest {
					all[n].digest, all[n].at = digest, now
					all[n].changes++
					select {
					case all[n].sign <- struct{}{}:
					default:
					}
				}
				all[n].lock.Unlock()
				if !said {
					said = true
					begun <- struct{}{}
				}
			}
			failed <- err
		}()
		// One after the other: a burst of streams is another case, and one that not every target survives.
		select {
		case <-begun:
		case err := <-failed:
			return nil, fmt.Errorf("stream %d ended: %w", n, err)
		case <-time.After(*patience):
			return nil, fmt.Errorf("stream %d had no message for %s", n, *patience)
		}
	}
	print(map[string]int{"open": *count})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		// The line says what each stream had before; the answer is when, by this machine's clock, each had more.
		before := make([]int, len(all))
		for n, one := range all {
			one.lock.Lock()
			before[n] = one.changes
			one.lock.Unlock()
		}
		print(map[string]bool{"watching": true})
		deadline := time.After(100 * time.Second)
		for n, one := range all {
			for {
				one.lock.Lock()
				changed := one.changes > before[n]
				one.lock.Unlock()
				if changed {
					break
				}
				select {
				case err := <-failed:
					return nil, fmt.Errorf("a stream ended: %w", err)
				case <-one.sign:
				case <-deadline:
					return nil, fmt.Errorf("stream %d had nothing new for 100 seconds", n)
				}
			}
		}
		at := make([]int64, len(all))
		for n, one := range all {
			one.lock.Lock()
			at[n] = one.at.UnixMicro()
			one.lock.Unlock()
		}
		print(map[string][]int64{"at_us": at})
	}
	return nil, nil
}

// digestOf tells messages apart; what is in them is of no interest.
func digestOf(message *workload.X509SVIDResponse) [32]byte {
	hash := sha256.New()
	for _, svid := range message.Svids {
		hash.Write([]byte(svid.SpiffeId))
		hash.Write(svid.X509Svid)
		hash.Write(svid.Bundle)
	}
	for domain, bundle := range message.FederatedBundles {
		hash.Write([]byte(domain))
		hash.Write(bundle)
	}
	return [32]byte(hash.Sum(nil))
}

// until asks each second for an SVID until there is one, as a program does that was started before it was registered.
func until(args []string) (any, error) {
	flags := flag.NewFlagSet("until", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	flags.Parse(args)
	connection, err := dial(*socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	client := workload.NewSpiffeWorkloadAPIClient(connection)
	began := time.Now()
	for {
		if _, err := fetch(client, 30*time.Second); err == nil {
			return map[string]int64{"at_us": time.Now().UnixMicro()}, nil
		} else if time.Since(began) > 2*time.Minute {
			return nil, fmt.Errorf("nothing in two minutes: %w", err)
		}
		time.Sleep(time.Second)
	}
}

// first waits for the first answered call, trying again each millisecond, and prints when that was.
func first(args []string) (any, error) {
	flags := flag.NewFlagSet("first", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	flags.Parse(args)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		probe, err := net.Dial("unix", *socket)
		if err != nil {
			continue
		}
		probe.Close()
		connection, err := dial(*socket)
		if err != nil {
			return nil, err
		}
		_, err = fetch(workload.NewSpiffeWorkloadAPIClient(connection), 10*time.Second)
		connection.Close()
		if err == nil {
			return map[string]int64{"at_us": time.Now().UnixMicro()}, nil
		}
	}
	return nil, fmt.Errorf("no answer within a minute")
}

// payload prints the first message of a target, for the floors to answer with.
func payload(args []string) (any, error) {
	flags := flag.NewFlagSet("payload", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Workload API's socket")
	flags.Parse(args)
	connection, err := dial(*socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	message, err := fetch(workload.NewSpiffeWorkloadAPIClient(connection), 60*time.Second)
	if err != nil {
		return nil, err
	}
	total := len(message.Svids[0].X509Svid) + len(message.Svids[0].X509SvidKey) + len(message.Svids[0].Bundle)
	return map[string]int{"bytes": total}, nil
}

// floor is the least that a Workload API in Go can cost: grpc-go that answers the same bytes, and checks nothing.
func floor(args []string) (any, error) {
	flags := flag.NewFlagSet("floor", flag.ExitOnError)
	socket := flags.String("socket", "", "path to listen at")
	size := flags.Int("bytes", 3106, "size of the answer")
	flags.Parse(args)
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, &bare{answer: &workload.X509SVIDResponse{
		Svids: []*workload.X509SVID{{SpiffeId: "spiffe://bench.example/floor", X509Svid: make([]byte, *size)}},
	}})
	go watchForChange(server)
	return nil, server.Serve(listener)
}

type bare struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	answer *workload.X509SVIDResponse
}

func (b *bare) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	if err := stream.Send(b.answer); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func watchForChange(server *grpc.Server) {
	io.Copy(io.Discard, os.Stdin)
	server.Stop()
}
