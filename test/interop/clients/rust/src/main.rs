//! A workload that holds its identity through the `spiffe` crate and tells on stdout, one JSON object a line, what it
//! sees. `workload` watches everything and answers commands from stdin: a number, the command, its arguments; `watch`
//! watches its X.509-SVIDs and nothing else; `fetch` asks for them until it gets them.

mod verify;

use serde_json::{Value, json};
use spiffe::{JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509BundleSet, X509Source};
use std::error::Error;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn tell(line: Value) {
    println!("{line}");
}

/// An error with what caused it.
fn text(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", text(cause)),
        None => error.to_string(),
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    if std::env::args().nth(1).as_deref() == Some("fetch") {
        return fetch(WorkloadApiClient::connect_env().await?).await;
    }
    let x509 = X509Source::new().await?;
    if std::env::args().nth(1).as_deref() == Some("watch") {
        watch_x509(x509).await;
        return std::future::pending().await;
    }
    let jwt = JwtSource::new().await?;
    tokio::spawn(watch_x509(x509.clone()));
    tokio::spawn(watch_jwt(jwt.clone()));
    let client = WorkloadApiClient::connect_env().await?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let reply = match answer(&client, &x509, &jwt, &words[1..]).await {
            Ok(result) => json!({ "reply": words[0], "result": result }),
            Err(error) => json!({ "reply": words[0], "error": text(error.as_ref()) }),
        };
        tell(reply);
    }
    Ok(())
}

async fn answer(client: &WorkloadApiClient, x509: &X509Source, jwt: &JwtSource, words: &[&str]) -> Outcome<Value> {
    match words {
        ["fetch"] => {
            let context = client.fetch_x509_context().await?;
            let verified = context.svids().iter().map(|svid| verify::verify(svid, context.bundle_set()));
            Ok(Value::Array(verified.collect::<Outcome<_>>()?))
        }
        ["current"] => verify::describe(x509.svid()?.as_ref()),
        ["jwt", audience] => {
            let svid = jwt.fetch_jwt_svid([audience]).await?;
            Ok(json!({ "id": svid.spiffe_id().to_string(), "token": svid.token() }))
        }
        // The token as it came, which the crate has not parsed.
        ["raw-jwt", audience] => {
            let token = client.fetch_jwt_token([audience], None::<&SpiffeId>).await?;
            Ok(json!({ "token": token }))
        }
        ["verify", audience, token] => {
            let svid = JwtSvid::parse_and_validate(token, jwt, &[audience])?;
            Ok(json!({ "id": svid.spiffe_id().to_string() }))
        }
        ["validate", audience, token] => {
            let svid = client.validate_jwt_token(audience, token).await?;
            Ok(json!({ "id": svid.spiffe_id().to_string() }))
        }
        _ => Err(format!("no such command: {words:?}").into()),
    }
}

async fn fetch(client: WorkloadApiClient) -> Outcome<()> {
    while let Err(error) = client.fetch_x509_context().await {
        tell(json!({ "event": "x509-error", "error": text(&error) }));
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    tell(json!({ "event": "x509" }));
    std::future::pending().await
}

async fn watch_x509(source: X509Source) {
    let mut updates = source.updated();
    loop {
        tell(match source.x509_context() {
            Ok(context) => {
                tell(json!({ "event": "x509-bundles", "authorities": sizes(context.bundle_set()) }));
                let verified = context.svids().iter().map(|svid| verify::verify(svid, context.bundle_set()));
                match verified.collect::<Outcome<Vec<Value>>>() {
                    Ok(svids) => json!({ "event": "x509", "svids": svids }),
                    Err(error) => json!({ "event": "broken", "error": text(error.as_ref()) }),
                }
            }
            Err(error) => json!({ "event": "x509-error", "error": text(&error) }),
        });
        if let Err(error) = updates.changed().await {
            return tell(json!({ "event": "x509-ended", "error": text(&error) }));
        }
    }
}

async fn watch_jwt(source: JwtSource) {
    let mut updates = source.updated();
    loop {
        if let Ok(bundles) = source.bundle_set() {
            let keys: serde_json::Map<_, _> =
                bundles.iter().map(|(name, bundle)| (name.to_string(), json!(bundle.jwt_authorities().count()))).collect();
            tell(json!({ "event": "jwt-bundles", "keys": keys }));
        }
        if updates.changed().await.is_err() {
            return;
        }
    }
}

fn sizes(bundles: &X509BundleSet) -> Value {
    bundles.iter().map(|(name, bundle)| (name.to_string(), json!(bundle.authorities().len()))).collect::<serde_json::Map<_, _>>().into()
}
