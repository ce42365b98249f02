//! Answers of a test: functions of the host process that stand in for a component's
//! imports, so that one component can be tested alone in the real host.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::future::BoxFuture;
use wasmtime::component::{LinkerInstance, Val};

use crate::state::State;

/// Answers a call with its results, one for each the function has.
pub type Answer = Arc<dyn Fn(Vec<Val>) -> BoxFuture<'static, wasmtime::Result<Vec<Val>>> + Send + Sync>;

/// Answers by interface, then function.
#[derive(Clone, Default)]
pub struct Answers(BTreeMap<String, BTreeMap<String, Answer>>);

impl Answers {
    /// Answers a function of an interface, given by its full name.
    pub fn insert(&mut self, interface: &str, function: &str, answer: Answer) {
        self.0.entry(interface.to_owned()).or_default().insert(function.to_owned(), answer);
    }

    /// Whether any function of the interface is answered.
    #[must_use]
    pub fn has(&self, interface: &str) -> bool {
        self.0.contains_key(interface)
    }

    /// The answer to a function.
    #[must_use]
    pub fn get(&self, interface: &str, function: &str) -> Option<&Answer> {
        self.0.get(interface)?.get(function)
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(interface, functions)| (interface, functions.keys().collect::<Vec<_>>())))
            .finish()
    }
}

/// Defines a function by its answer.
///
/// # Errors
/// When the name is not valid in a linker.
pub fn define(instance: &mut LinkerInstance<'_, State>, function: &str, answer: &Answer) -> wasmtime::Result<()> {
    let answer = Arc::clone(answer);
    instance.func_new_concurrent(function, move |_accessor, _ty, params, results| {
        let answered = answer(params.to_vec());
        Box::pin(async move { store_results(answered.await?, results) })
    })
}

/// Defines a function that fails the call: the test answers others of its interface.
///
/// # Errors
/// When the name is not valid in a linker.
pub fn define_unanswered(
    instance: &mut LinkerInstance<'_, State>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()> {
    let message = format!("the test has no answer for {interface}#{function}");
    instance.func_new_concurrent(function, move |_accessor, _ty, _params, _results| {
        let message = message.clone();
        Box::pin(async move { Err(wasmtime::Error::msg(message)) })
    })
}

/// Puts the values of a call where the guest reads them.
///
/// # Errors
/// When there are more or fewer than the function has.
pub(super) fn store_results(values: Vec<Val>, results: &mut [Val]) -> wasmtime::Result<()> {
    if values.len() != results.len() {
        wasmtime::bail!("the answer has {} values where the function has {}", values.len(), results.len());
    }
    for (result, value) in results.iter_mut().zip(values) {
        *result = value;
    }
    Ok(())
}
