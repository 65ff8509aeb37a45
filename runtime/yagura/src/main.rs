//! The `yagura` command: arguments, configuration and output around the crates that do the work.
//!
//! One file a command in `commands/`. Results go to stdout, everything else to stderr. Exit codes: 0 success, 1 warning
//! (findings or failed tests), 2 error in a rule, pack or plugin, 3 error in configuration or input.

mod allocator;
mod commands;
mod diagnostics;
mod exit;
mod help;
mod output;
mod private;
mod progress;
mod registry;
mod ruleset;
mod state_dir;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A watchtower over logs: rules in SQL, Sigma or sandboxed Wasm over Parquet on object storage.
#[derive(Parser)]
#[command(name = "yagura", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  success
  1  warning: findings or failed tests
  2  error in a rule, pack or plugin
  3  error in configuration or input

Environment:
  YAGURA_LOG                what is logged to stderr, for instance `debug`
  YAGURA_CACHE_DIR          directory of compiled plugins
  AWS_…, GOOGLE_…, AZURE_…  usual settings of the object stores";

#[derive(Subcommand)]
enum Command {
    Ingest(commands::ingest::Arguments),
    Run(commands::run::Arguments),
    Search(commands::search::Arguments),
    Serve(commands::serve::Arguments),
    Listen(commands::listen::Arguments),
    Status(commands::status::Arguments),
    Quarantine(commands::quarantine::Arguments),
    Alerts(commands::alerts::Arguments),
    Backup(commands::backup::Arguments),
    Restore(commands::restore::Arguments),
    Build(commands::build::Arguments),
    Inspect(commands::inspect::Arguments),
    Check(commands::check::Arguments),
    Explain(commands::explain::Arguments),
    Coverage(commands::coverage::Arguments),
    Table(commands::table::Arguments),
    Source(commands::source::Arguments),
    Test(commands::test::Arguments),
    Dev(commands::dev::Arguments),
    Bench(commands::bench::Arguments),
    New(commands::new::Arguments),
    Keygen(commands::keygen::Arguments),
    Sign(commands::sign::Arguments),
    Verify(commands::verify::Arguments),
    Pack(commands::pack::Arguments),
    Push(commands::push::Arguments),
    Pull(commands::pull::Arguments),
    Save(commands::save::Arguments),
    Load(commands::load::Arguments),
    Grants(commands::grants::Arguments),
    Doctor(commands::doctor::Arguments),
}

fn main() -> ExitCode {
    yagura_lake::guard::print_no_caught_panics();
    let filter = EnvFilter::try_from_env("YAGURA_LOG")
        .unwrap_or_else(|_| EnvFilter::new("error,yagura_alerts=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| output::Logged(output::Unfailing(std::io::stderr())))
        .with_ansi(output::takes_escapes(&std::io::stderr()))
        .init();
    let parsed = help::grouped(Arguments::command())
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return without_arguments(&error),
    };
    let result = match arguments.command {
        Command::Ingest(arguments) => {
            allocator::give_back_freed_memory();
            commands::ingest::run(arguments)
        }
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Search(arguments) => commands::search::run(arguments),
        Command::Serve(arguments) => {
            allocator::give_back_freed_memory();
            commands::serve::run(arguments)
        }
        Command::Listen(arguments) => commands::listen::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Quarantine(arguments) => commands::quarantine::run(&arguments),
        Command::Alerts(arguments) => commands::alerts::run(arguments),
        Command::Backup(arguments) => commands::backup::run(&arguments),
        Command::Restore(arguments) => commands::restore::run(&arguments),
        Command::Build(arguments) => commands::build::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Coverage(arguments) => commands::coverage::run(&arguments),
        Command::Table(arguments) => commands::table::run(&arguments),
        Command::Source(arguments) => commands::source::run(arguments),
        Command::Test(arguments) => commands::test::run(&arguments),
        Command::Dev(arguments) => commands::dev::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::New(arguments) => commands::new::run(&arguments),
        Command::Keygen(arguments) => commands::keygen::run(&arguments),
        Command::Sign(arguments) => commands::sign::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Pack(arguments) => commands::pack::run(&arguments),
        Command::Push(arguments) => commands::push::run(&arguments),
        Command::Pull(arguments) => commands::pull::run(&arguments),
        Command::Save(arguments) => commands::save::run(&arguments),
        Command::Load(arguments) => commands::load::run(&arguments),
        Command::Grants(arguments) => commands::grants::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::report(&error),
    }
}

/// Prints help, version or what is wrong with the arguments.
///
/// `clap` would decide on colours by rules of its own: under `CI` it writes escapes to a terminal that takes none.
fn without_arguments(error: &clap::Error) -> ExitCode {
    let text = |escapes: bool| {
        let styled = error.render();
        match escapes {
            true => styled.ansi().to_string(),
            false => styled.to_string(),
        }
    };
    // Help and version are results; anything else is wrong input. A closed pipe while help is printed is nobody's fault.
    if error.use_stderr() {
        let mut stream = std::io::stderr();
        let _ = stream.write_all(text(output::takes_escapes(&stream)).as_bytes());
        return ExitCode::from(exit::INPUT);
    }
    let mut stream = std::io::stdout();
    let _ = stream.write_all(text(output::takes_escapes(&stream)).as_bytes());
    ExitCode::SUCCESS
}
