//! Who may call what: tokens with scopes and an end, of which only digests are kept.

use std::fmt;
use std::fs;
use std::path::Path;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use prost_types::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{ServerError, ServiceError};

/// What a token lets its bearer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Scores, users and models may be read.
    Read,
    /// Events and profiles may be written.
    Write,
    /// Users may be exported and erased, models reloaded.
    Admin,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// A token's digest as the tokens' file holds it: SHA-256 of its text, 64 hex digits.
#[must_use]
pub fn hash_token(token: &str) -> String {
    let digest = digest(token);
    let number = |half: &[u8]| half.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let (high, low) = digest.split_at(16);
    format!("{:032x}{:032x}", number(high), number(low))
}

/// Whose calls are let through.
pub(crate) enum Access {
    /// Everyone's who could connect.
    Open,
    /// Those with one of these tokens.
    Tokens(Vec<Token>),
}

pub(crate) struct Token {
    digest: [u8; 32],
    scopes: Vec<Scope>,
    /// Seconds since 1970; at or after this it is not taken.
    expires: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    tokens: Vec<TokenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    /// For people; not used.
    #[serde(rename = "name")]
    _name: String,
    sha256: String,
    scopes: Vec<Scope>,
    expires: Option<String>,
}

impl Access {
    /// What a file of tokens says; without one everyone who connects is let through.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ServerError> {
        let Some(path) = path else { return Ok(Self::Open) };
        let problem = |problem: String| ServerError::File { path: path.to_owned(), problem };
        let text = fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        let file: TokenFile = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
        let tokens = file
            .tokens
            .iter()
            .enumerate()
            .map(|(place, entry)| Token::of(entry).map_err(|what| problem(format!("tokens[{place}]: {what}"))));
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        if tokens.is_empty() {
            return Err(problem("holds no token, so nobody could call; add one".to_owned()));
        }
        Ok(Self::Tokens(tokens))
    }

    pub(crate) fn needs_token(&self) -> bool {
        matches!(self, Self::Tokens(_))
    }

    /// Whether a call with these headers may do what needs a scope.
    pub(crate) fn check(&self, headers: &HeaderMap, needed: Scope, now_s: i64) -> Result<(), ServiceError> {
        let Self::Tokens(tokens) = self else { return Ok(()) };
        let sent = bearer(headers).map(digest).ok_or(ServiceError::TokenUnknown)?;
        // Every token is looked at, so that the time taken does not tell how far the list was read.
        let mut found = None;
        for token in tokens {
            if bool::from(token.digest.ct_eq(&sent)) {
                found = Some(token);
            }
        }
        let token = found.ok_or(ServiceError::TokenUnknown)?;
        if token.expires.is_some_and(|end| now_s >= end) {
            return Err(ServiceError::TokenExpired);
        }
        if token.scopes.contains(&needed) { Ok(()) } else { Err(ServiceError::ScopeMissing { needed }) }
    }
}

impl Token {
    fn of(entry: &TokenEntry) -> Result<Self, String> {
        let digest = parse_digest(&entry.sha256).ok_or("sha256 is not 64 hex digits")?;
        let expires = entry.expires.as_ref().map(|text| text.parse::<Timestamp>()).transpose();
        let expires = expires.map_err(|_| "expires is not a time such as 2030-01-01T00:00:00Z")?;
        Ok(Self { digest, scopes: entry.scopes.clone(), expires: expires.map(|time| time.seconds) })
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(digest)
}

/// The token of the one `authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
