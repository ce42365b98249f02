//! All SQL of the payment service. The book is only ever added to.

mod ledger;
mod orders;
mod payments;
mod promos;
mod refunds;
mod reports;
mod shares;
mod vouchers;

pub use ledger::*;
pub use orders::*;
pub use payments::*;
pub use promos::*;
pub use refunds::*;
pub use reports::*;
pub use shares::*;
pub use vouchers::*;
