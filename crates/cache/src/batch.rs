//! Many keys in one call: looked up, loaded and stored together.

mod load;
mod read;
mod store;
