struct Plain;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = windlass::open("memory:").await.unwrap();
    client.enqueue(Plain).await.unwrap();
    let _ = client.worker(()).handle(async |_: Plain| {});
}
