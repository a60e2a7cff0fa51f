//! Memberships against a delivery service in process, an honest one and a malicious one.

mod honest;
mod service;
