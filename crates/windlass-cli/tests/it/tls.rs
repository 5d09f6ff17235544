//! Every database and server that the command connects to is reached over TLS, where it takes nothing in the clear.

use crate::authority::Authority;
use crate::serve::serve_at;
use crate::shell::Shell;

#[test]
fn the_store_the_archive_and_the_outbox_go_to_a_server_that_takes_nothing_in_the_clear() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (server, address) = ours.server();
    server.put("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
    server.sql("SELECT pg_reload_conf()");
    let url = |host: &str, query: String| {
        format!("postgres://windlass@{host}:{}/postgres?hostaddr=127.0.0.1&{query}", address.port())
    };
    let safe = url("localhost", format!("sslmode=verify-full&sslrootcert={}", ours.file()));
    let shell = Shell::new();
    server.sql(&shell.ok(&["outbox", "schema", "postgres"]));
    server.sql("INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('mail', 'send', '{}')");
    shell.ok(&["migrate", "--store", &safe]);
    let relayed = shell.object(&["outbox", "relay", "--from", &safe, "--once", "--store", &safe]);
    assert_eq!(relayed["rows"].as_u64(), Some(1));
    shell.ok(&["archive", "--to", &safe, "--once", "--store", &safe]);
    assert_eq!(server.sql("SELECT count(*) FROM windlass_archive.job WHERE ended_at IS NULL"), "1");

    shell.ok(&["enqueue", "mail", "send", "{}"]);
    let clear = url("localhost", "sslmode=disable".to_owned());
    let stranger = url("localhost", format!("sslmode=verify-full&sslrootcert={}", other.file()));
    for (to, says) in [(&clear, "no encryption"), (&stranger, "certificate")] {
        for command in [
            &["archive", "--once", "--to"][..],
            &["outbox", "status", "--from"],
            &["queues", "ls", "--store"],
        ] {
            let ran = shell.run(&[command, &[to.as_str()]].concat());
            assert!(ran.code != 0 && ran.err.contains(says), "{command:?} {says}: {}", ran.err);
        }
    }
}

#[test]
fn a_server_with_a_certificate_is_reached_by_those_who_believe_its_authority() {
    let (shell, ours, other) = (Shell::new(), Authority::new(), Authority::new());
    let (certificate, key) = ours.certificate();
    let (certificate_file, key_file) = (shell.path("cert.pem"), shell.path("key.pem"));
    std::fs::write(&certificate_file, certificate).expect("our own directory");
    std::fs::write(&key_file, key).expect("our own directory");
    let files = [&certificate_file, &key_file].map(|file| file.display().to_string());
    let tls = ["--tls-cert", &files[0], "--tls-key", &files[1], "--host", "localhost"];
    let (_server, url) = serve_at(&shell, "127.0.0.1:0", &tls);
    let port = url.rsplit(':').next().expect("a port");
    let url = format!("https://localhost:{port}");
    for (authority, code) in [(&ours, 0), (&other, 5)] {
        for arguments in [&["health", &url][..], &["queues", "ls", "--store", &url]] {
            let ran =
                shell.command(arguments).env("SSL_CERT_FILE", authority.file()).output().expect("it runs");
            let err = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {err}");
            assert!(code == 0 || err.contains("certificate"), "{arguments:?}: {err}");
        }
    }
}
