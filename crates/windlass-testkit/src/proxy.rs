//! A TCP proxy on the loopback that fails on demand: what a network does between a store and its server.
//!
//! It knows no protocol. A chunk is what one read gives, which on the loopback is what the other side wrote at once;
//! faults act on chunks. Every connection that stands obeys a new fault from its next chunk on.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One chunk at most.
const CHUNK_BYTES: usize = 64 << 10;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The next request reaches the server; its connection is reset before any of the reply comes back. Once.
    CutBeforeReply,
    /// The next request's connection is reset before any of it reaches the server. Once.
    CutBeforeRequest,
    /// The next request reaches the server twice. Once.
    Duplicate,
    /// Everything comes that much later.
    Delay(Duration),
    /// One byte at a time, with a pause after each.
    Drip(Duration),
    /// Requests vanish, and nobody is told.
    LoseRequests,
    /// Replies vanish, and nobody is told.
    LoseReplies,
    /// Whoever connects is turned away at once; what stands goes on.
    Refuse,
}

impl Fault {
    fn is_for_once(self) -> bool {
        matches!(self, Fault::CutBeforeReply | Fault::CutBeforeRequest | Fault::Duplicate)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

struct Control {
    fault: Mutex<Fault>,
    /// Grows when all connections are to end.
    generation: watch::Sender<u64>,
    accepted: AtomicU64,
    lost: AtomicU64,
}

impl Control {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this fault is set; one that is for once is spent with the answer.
    fn take(&self, wanted: Fault) -> bool {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let found = *fault == wanted;
        if found && wanted.is_for_once() {
            *fault = Fault::None;
        }
        found
    }
}

/// The proxy; dropping it ends it and every connection through it.
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback for connections to `server`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let control = Arc::new(Control {
            fault: Mutex::default(),
            generation: watch::channel(0).0,
            accepted: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let listening = tokio::spawn(listen(listener, server, Arc::clone(&control)));
        Ok(Self { address, control, listening })
    }

    /// Where to connect instead of to the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.control.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What is set now: [`Fault::None`] once a fault that is for once has happened.
    pub fn fault(&self) -> Fault {
        self.control.fault()
    }

    /// Resets every connection that stands.
    pub fn cut_all(&self) {
        self.control.generation.send_modify(|generation| *generation += 1);
    }

    /// Chunks that have vanished so far.
    pub fn lost(&self) -> u64 {
        self.control.lost.load(Ordering::Relaxed)
    }

    /// Connections so far, those turned away included: a storm of reconnects shows here.
    pub fn accepted(&self) -> u64 {
        self.control.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut_all();
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, control: Arc<Control>) {
    while let Ok((client, _)) = listener.accept().await {
        control.accepted.fetch_add(1, Ordering::Relaxed);
        if control.fault() == Fault::Refuse {
            reset(&client);
            continue;
        }
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            // A server that is away turns away; the client sees its connection end, as it would without a proxy.
            if let Ok(server) = TcpStream::connect(server).await {
                connection(client, server, &control).await;
            }
        });
    }
}

/// Carries both ways until one side ends, or a fault does.
async fn connection(mut client: TcpStream, mut server: TcpStream, control: &Control) {
    let mut ended = control.generation.subscribe();
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = carry(from_client, to_server, control, Way::Request) => {}
            () = carry(from_server, to_client, control, Way::Reply) => {}
            _ = ended.changed() => {}
        }
    }
    reset(&client);
    reset(&server);
}

/// Carries one way; returns when the connection is to end.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    control: &Control,
    way: Way,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => &chunk[..n],
        };
        let cut = match way {
            Way::Request => Fault::CutBeforeRequest,
            Way::Reply => Fault::CutBeforeReply,
        };
        if control.take(cut) {
            return;
        }
        let twice = way == Way::Request && control.take(Fault::Duplicate);
        let sent = match (control.fault(), way) {
            (Fault::LoseRequests, Way::Request) | (Fault::LoseReplies, Way::Reply) => {
                control.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            (Fault::Delay(delay), _) => {
                tokio::time::sleep(delay).await;
                to.write_all(bytes).await
            }
            (Fault::Drip(pause), _) => drip(&mut to, bytes, pause).await,
            _ => to.write_all(bytes).await,
        };
        let sent = match (sent, twice) {
            (Ok(()), true) => to.write_all(bytes).await,
            (sent, _) => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn drip(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// The other side sees a reset, not an orderly end.
fn reset(stream: &TcpStream) {
    // A stream that cannot be told so ends in order when it is dropped; that is a fault as well.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, BufReader};

    /// A server that answers each line with how many lines it has had, in all.
    async fn counting_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let count = Arc::new(AtomicU64::new(0));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let (read, mut write) = stream.split();
                    let mut lines = BufReader::new(read).lines();
                    while let Ok(Some(_)) = lines.next_line().await {
                        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
                        if write.write_all(format!("{now}\n").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn pair() -> (Proxy, BufReader<TcpStream>) {
        let proxy = Proxy::start(counting_server().await).await.expect("a free port");
        let client = connect(&proxy).await;
        (proxy, client)
    }

    async fn connect(proxy: &Proxy) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(proxy.address()).await.expect("it listens"))
    }

    async fn send(client: &mut BufReader<TcpStream>) -> io::Result<()> {
        client.get_mut().write_all(b"line\n").await
    }

    async fn receive(client: &mut BufReader<TcpStream>) -> io::Result<u64> {
        let mut line = String::new();
        let read = client.read_line(&mut line).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim().parse().expect("a number"))
    }

    async fn ask(client: &mut BufReader<TcpStream>) -> io::Result<u64> {
        send(client).await?;
        receive(client).await
    }

    #[tokio::test]
    async fn without_a_fault_it_carries_both_ways() {
        let (_proxy, mut client) = pair().await;
        assert_eq!((ask(&mut client).await.unwrap(), ask(&mut client).await.unwrap()), (1, 2));
    }

    #[tokio::test]
    async fn a_request_whose_reply_is_cut_was_done_and_one_that_is_cut_itself_was_not() {
        let (proxy, mut client) = pair().await;
        proxy.set(Fault::CutBeforeReply);
        assert!(ask(&mut client).await.is_err());
        assert_eq!(proxy.fault(), Fault::None, "once");
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client).await.unwrap(), 2, "the first was counted");
        proxy.set(Fault::CutBeforeRequest);
        assert!(ask(&mut client).await.is_err());
        assert_eq!(ask(&mut connect(&proxy).await).await.unwrap(), 3, "the second was not");
    }

    #[tokio::test]
    async fn a_duplicate_arrives_twice() {
        let (proxy, mut client) = pair().await;
        proxy.set(Fault::Duplicate);
        assert_eq!(ask(&mut client).await.unwrap(), 1);
        assert_eq!(receive(&mut client).await.unwrap(), 2);
        assert_eq!(ask(&mut client).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn lost_requests_are_not_done_lost_replies_are_and_nobody_is_told() {
        let (proxy, mut client) = pair().await;
        for (fault, lost) in [(Fault::LoseRequests, 1), (Fault::LoseReplies, 2)] {
            proxy.set(fault);
            send(&mut client).await.unwrap();
            while proxy.lost() < lost {
                tokio::task::yield_now().await;
            }
        }
        proxy.set(Fault::None);
        assert_eq!(ask(&mut client).await.unwrap(), 2, "the second was counted, and its reply never came");
    }

    #[tokio::test(start_paused = true)]
    async fn late_and_dripping_bytes_arrive_whole() {
        let (proxy, mut client) = pair().await;
        for (fault, count) in
            [(Fault::Delay(Duration::from_secs(1)), 1), (Fault::Drip(Duration::from_millis(300)), 2)]
        {
            proxy.set(fault);
            let before = tokio::time::Instant::now();
            assert_eq!(ask(&mut client).await.unwrap(), count);
            assert!(before.elapsed() >= Duration::from_secs(1), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn all_connections_are_cut_and_new_ones_turned_away_until_it_is_over() {
        let (proxy, mut client) = pair().await;
        assert_eq!(ask(&mut client).await.unwrap(), 1);
        proxy.set(Fault::Refuse);
        assert_eq!(ask(&mut client).await.unwrap(), 2, "what stands goes on");
        proxy.cut_all();
        assert!(receive(&mut client).await.is_err());
        for _ in 0..10 {
            assert!(ask(&mut connect(&proxy).await).await.is_err());
        }
        assert_eq!(proxy.accepted(), 11);
        proxy.set(Fault::None);
        assert_eq!(ask(&mut connect(&proxy).await).await.unwrap(), 3);
    }
}
