//! The crate checks what an SVID says, but no signatures; a peer would.

use crate::Outcome;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey;
use rsa::sha2::Sha256;
use rsa::signature::Verifier;
use serde_json::{Value, json};
use spiffe::{Certificate, X509BundleSet, X509Svid};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

pub fn describe(svid: &X509Svid) -> Outcome<Value> {
    let leaf = parse(&svid.cert_chain()[0])?;
    Ok(json!({ "id": svid.spiffe_id().to_string(), "serial": leaf.serial.to_str_radix(16) }))
}

/// Describes the SVID when an authority of its trust domain signed it and both are valid now.
pub fn verify(svid: &X509Svid, bundles: &X509BundleSet) -> Outcome<Value> {
    let leaf = parse(&svid.cert_chain()[0])?;
    let bundle = bundles.get(svid.spiffe_id().trust_domain()).ok_or("no bundle for the trust domain")?;
    for authority in bundle.authorities() {
        let authority = parse(authority)?;
        let valid = leaf.validity().is_valid() && authority.validity().is_valid();
        if valid && authority.subject() == leaf.issuer() && signed(&leaf, &authority)? {
            return describe(svid);
        }
    }
    Err("no authority of the trust domain signed the SVID".into())
}

fn signed(leaf: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> Outcome<bool> {
    let key = VerifyingKey::<Sha256>::from_public_key_der(authority.public_key().raw)?;
    let signature = Signature::try_from(leaf.signature_value.data.as_ref())?;
    Ok(key.verify(leaf.tbs_certificate.as_ref(), &signature).is_ok())
}

fn parse(certificate: &Certificate) -> Outcome<X509Certificate<'_>> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_bytes())?;
    Ok(parsed)
}
