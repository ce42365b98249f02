//! The user service over HTTP on a real database.

mod customers;
mod login;
mod register;
mod staff;
mod world;
