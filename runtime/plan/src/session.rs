//! Sessions of DataFusion in which conditions can call all functions.

use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;

/// Returns a session with the functions of DataFusion and those of `yagura-functions`.
pub fn session(config: SessionConfig) -> SessionContext {
    let session = SessionContext::new_with_config(config);
    for function in yagura_functions::all() {
        session.register_udf(function.as_ref().clone());
    }
    session
}
