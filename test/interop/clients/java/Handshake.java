import io.spiffe.provider.SpiffeSslContextFactory;
import io.spiffe.provider.SpiffeSslContextFactory.SslContextOptions;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.workloadapi.X509Source;
import java.io.InputStream;
import java.net.InetAddress;
import java.security.cert.X509Certificate;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;

/** mTLS over loopback with the SSLContext of java-spiffe-provider, both ends in this process. */
final class Handshake {
    private Handshake() {}

    /** The SPIFFE ID that the server end saw; throws where one end refuses the other. */
    static String between(X509Source source, SpiffeId allowed) throws Exception {
        SslContextOptions options =
                SslContextOptions.builder().x509Source(source).acceptedSpiffeIdsSupplier(() -> Set.of(allowed)).build();
        SSLContext context = SpiffeSslContextFactory.getSslContext(options);
        InetAddress loopback = InetAddress.getLoopbackAddress();
        try (SSLServerSocket server =
                (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1, loopback)) {
            server.setNeedClientAuth(true);
            server.setSoTimeout(10_000);
            CompletableFuture<String> seen = CompletableFuture.supplyAsync(() -> accept(server));
            try (SSLSocket client =
                    (SSLSocket) context.getSocketFactory().createSocket(loopback, server.getLocalPort())) {
                client.setSoTimeout(10_000);
                client.startHandshake();
                InputStream answer = client.getInputStream();
                if (answer.read() != '!') throw new IllegalStateException("the server ended the connection");
            }
            return seen.get();
        }
    }

    private static String accept(SSLServerSocket server) {
        try (SSLSocket socket = (SSLSocket) server.accept()) {
            socket.setSoTimeout(10_000);
            socket.startHandshake();
            X509Certificate peer = (X509Certificate) socket.getSession().getPeerCertificates()[0];
            socket.getOutputStream().write('!');
            return peer.getSubjectAlternativeNames().stream()
                    .filter(name -> name.get(0).equals(6))
                    .map(name -> (String) name.get(1))
                    .findFirst()
                    .orElseThrow();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }
}
