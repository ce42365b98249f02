//! Wake-up calls for the same work count once.

use std::collections::BTreeMap;

/// Which work runs, and whether it was asked for again since it began.
///
/// What began before a call may not see what the caller has just written, so a call
/// while the work runs makes it run once more, however many such calls there are.
#[derive(Debug, Default)]
pub struct Running(BTreeMap<(String, String), bool>);

impl Running {
    /// Asks for work. True: the caller is to begin it.
    pub fn ask(&mut self, service: &str, path: &str) -> bool {
        let key = (service.to_owned(), path.to_owned());
        if let Some(again) = self.0.get_mut(&key) {
            *again = true;
            return false;
        }
        self.0.insert(key, false);
        true
    }

    /// Work has been done. True: it was asked for meanwhile and is to be done again.
    pub fn done(&mut self, service: &str, path: &str) -> bool {
        let key = (service.to_owned(), path.to_owned());
        match self.0.get_mut(&key) {
            Some(again) if *again => {
                *again = false;
                true
            }
            _ => {
                self.0.remove(&key);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_while_the_work_runs_make_it_run_once_more() {
        let mut running = Running::default();
        assert!(running.ask("user", "/relay"));
        assert!(!running.ask("user", "/relay"));
        assert!(!running.ask("user", "/relay"));
        assert!(running.done("user", "/relay"));
        assert!(!running.done("user", "/relay"));
    }

    #[test]
    fn work_that_is_over_begins_anew_when_asked_for() {
        let mut running = Running::default();
        assert!(running.ask("user", "/relay"));
        assert!(!running.done("user", "/relay"));
        assert!(running.ask("user", "/relay"));
    }

    #[test]
    fn other_work_is_not_held_up() {
        let mut running = Running::default();
        assert!(running.ask("user", "/relay"));
        assert!(running.ask("orders", "/relay"));
        assert!(running.ask("user", "/send"));
    }
}
