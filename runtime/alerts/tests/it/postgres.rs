//! All other tests, on a server.

use std::process::{Command, Stdio};

use sqlx::Row;

use crate::support::{ON_POSTGRES, SCHEMAS};

/// Runs this binary once more, with stores in schemas of the server.
#[test]
#[ignore = "needs YAGURA_TEST_POSTGRES, the address of a database in which schemas may be made (postgres://USER@HOST/DATABASE)"]
fn all_of_it_on_postgres() {
    let url = std::env::var("YAGURA_TEST_POSTGRES")
        .expect("YAGURA_TEST_POSTGRES names a database: postgres://USER@HOST/DATABASE");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads=2", "--skip", "all_of_it_on_postgres"])
        .env(ON_POSTGRES, &url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let schemas = format!("{SCHEMAS}{}_%", child.id());
    let output = child.wait_with_output().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(tidy(&url, &schemas));
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains(" 0 passed"), "no test ran");
}

/// Removes the schemas that the tests made.
async fn tidy(url: &str, schemas: &str) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let rows = sqlx::query(
        "SELECT schema_name::text AS name FROM information_schema.schemata WHERE schema_name LIKE $1",
    )
    .bind(schemas.to_owned())
    .fetch_all(&pool)
    .await
    .unwrap();
    for row in rows {
        let name: String = row.try_get("name").unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
}
