//! Sorts the errors of the Wasm engine by their cause.

use wasmtime::{Trap as Code, WasmtimeBug};
use yagura_core::pack::Limits;

use crate::backtrace::frames;
use crate::error::{CallError, Trap};
use crate::host_state::HostState;
use crate::limit_exceeded::{LimitExceeded, LimitKind};
use crate::memory::Refused;

/// Returns the error of a call for an error of the engine.
pub(crate) fn classify(
    call: &'static str,
    error: wasmtime::Error,
    state: &HostState,
    limits: &Limits,
) -> CallError {
    let backtrace = || frames(&error);
    let limit = |kind| {
        CallError::Limit(LimitExceeded::new(
            call,
            kind,
            limits,
            (state.limiter.budget_limit(), &state.limiter.largest),
            backtrace(),
        ))
    };
    let code = error.downcast_ref::<Code>().copied();
    match (code, state.limiter.refused) {
        (Some(Code::Interrupt), _) => limit(LimitKind::Time),
        (Some(Code::OutOfFuel), _) => limit(LimitKind::Fuel),
        (Some(Code::StackOverflow), _) => limit(LimitKind::Stack),
        // A guest without memory traps, or does not even start.
        (_, Some(Refused::Memory)) => limit(LimitKind::Memory),
        (_, Some(Refused::Pool)) => limit(LimitKind::Pool),
        (_, Some(Refused::Table)) => limit(LimitKind::Tables),
        (Some(code), None) if is_garbage(code) => garbage(call, &error),
        (Some(code), None) => CallError::Trap(Trap {
            call,
            reason: code
                .to_string()
                .trim_start_matches("wasm trap: ")
                .to_owned(),
            last_error: state.log.errors(),
            backtrace: backtrace(),
        }),
        // The type is private to the engine. If the text changes, the test with the hostile guest `output-flood` fails.
        (None, None)
            if error
                .root_cause()
                .to_string()
                .contains("fuel allocated for hostcalls") =>
        {
            limit(LimitKind::Output)
        }
        (None, None) if is_host_fault(&error) => CallError::Host {
            call,
            source: error.into(),
        },
        // Neither a trap nor a fault of the host: the answer is unreadable.
        (None, None) => garbage(call, &error),
    }
}

fn garbage(call: &'static str, error: &wasmtime::Error) -> CallError {
    CallError::Garbage {
        call,
        reason: error.root_cause().to_string(),
    }
}

/// Returns whether a trap of the canonical ABI means a value that no guest with correct types can return.
fn is_garbage(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidChar
            | Code::InvalidDiscriminant
            | Code::ListOutOfBounds
            | Code::StringOutOfBounds
            | Code::UnalignedPointer
    )
}

fn is_host_fault(error: &wasmtime::Error) -> bool {
    error.is::<WasmtimeBug>() || error.is::<wasmtime::OutOfMemory>() || error.is::<std::io::Error>()
}
