import com.google.gson.Gson;
import io.spiffe.bundle.jwtbundle.JwtBundleSet;
import io.spiffe.bundle.x509bundle.X509BundleSet;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.DefaultX509Source;
import io.spiffe.workloadapi.JwtSource;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.WorkloadApiClient;
import io.spiffe.workloadapi.X509Context;
import io.spiffe.workloadapi.X509Source;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A workload that holds its identity through java-spiffe and tells on stdout, one JSON object a line, what it sees.
 * `workload` watches everything and answers commands from stdin: a number, the command, its arguments; `watch` watches
 * its X.509-SVIDs and nothing else.
 */
public final class Workload {
    private static final Gson JSON = new Gson();

    private final WorkloadApiClient client = DefaultWorkloadApiClient.newClient();
    private final X509Source x509;
    private final JwtSource jwt;

    private Workload() throws Exception {
        watch(client);
        client.watchX509Bundles(watcher("x509-bundles", Workload::tellBundles));
        client.watchJwtBundles(watcher("jwt-bundles", Workload::tellJwtBundles));
        x509 = DefaultX509Source.newSource();
        jwt = DefaultJwtSource.newSource();
    }

    private static void watch(WorkloadApiClient client) {
        client.watchX509Context(watcher("x509", Workload::tellContext));
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("watch")) {
            watch(DefaultWorkloadApiClient.newClient());
            Thread.currentThread().join();
        }
        Workload workload = new Workload();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.trim().split(" ");
            try {
                tell("reply", words[0], "result", workload.answer(words));
            } catch (Exception error) {
                tell("reply", words[0], "error", text(error));
            }
        }
        System.exit(0);
    }

    private Object answer(String[] words) throws Exception {
        switch (words[1]) {
            case "fetch":
                return describe(client.fetchX509Context());
            case "current":
                return describe(x509.getX509Svid());
            case "jwt": {
                JwtSvid svid = jwt.fetchJwtSvid(words[2]);
                return object("id", svid.getSpiffeId().toString(), "token", svid.getToken());
            }
            case "verify":
                return object("id", JwtSvid.parseAndValidate(words[3], jwt, Set.of(words[2])).getSpiffeId().toString());
            case "validate":
                return object("id", client.validateJwtSvid(words[3], words[2]).getSpiffeId().toString());
            case "handshake":
                return object("id", Handshake.between(x509, SpiffeId.parse(words[2])));
            default:
                throw new IllegalArgumentException("no such command: " + words[1]);
        }
    }

    private interface Update<T> {
        void tell(T value) throws Exception;
    }

    private static <T> Watcher<T> watcher(String name, Update<T> update) {
        return new Watcher<>() {
            @Override
            public void onUpdate(T value) {
                try {
                    update.tell(value);
                } catch (Exception error) {
                    Workload.tell("event", "broken", "error", text(error));
                }
            }

            @Override
            public void onError(Throwable error) {
                Workload.tell("event", name + "-ended", "error", text(error));
            }
        };
    }

    private static void tellContext(X509Context context) throws Exception {
        tell("event", "x509", "svids", describe(context));
    }

    private static void tellBundles(X509BundleSet bundles) {
        Map<String, Object> sizes = new LinkedHashMap<>();
        bundles.getBundles().forEach((name, bundle) -> sizes.put(name.getName(), bundle.getX509Authorities().size()));
        tell("event", "x509-bundles", "authorities", sizes);
    }

    private static void tellJwtBundles(JwtBundleSet bundles) {
        Map<String, Object> sizes = new LinkedHashMap<>();
        bundles.getBundles().forEach((name, bundle) -> sizes.put(name.getName(), bundle.getJwtAuthorities().size()));
        tell("event", "jwt-bundles", "keys", sizes);
    }

    /** Verifies each SVID against the bundle of its trust domain, as a peer would. */
    private static List<Object> describe(X509Context context) throws Exception {
        List<Object> described = new ArrayList<>();
        for (X509Svid svid : context.getX509Svids()) {
            X509SvidValidator.verifyChain(svid.getChain(), context.getX509BundleSet());
            described.add(describe(svid));
        }
        return described;
    }

    private static Map<String, Object> describe(X509Svid svid) {
        return object("id", svid.getSpiffeId().toString(), "serial", svid.getLeaf().getSerialNumber().toString(16));
    }

    private static Map<String, Object> object(Object... pairs) {
        Map<String, Object> object = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) object.put((String) pairs[i], pairs[i + 1]);
        return object;
    }

    private static synchronized void tell(Object... pairs) {
        System.out.println(JSON.toJson(object(pairs)));
        System.out.flush();
    }

    private static String text(Throwable error) {
        return error + (error.getCause() == null ? "" : ": " + text(error.getCause()));
    }
}
