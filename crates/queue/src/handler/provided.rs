//! The data that a worker was given, by type.

use std::any::{Any, TypeId, type_name};

use super::error::MissingData;

/// The data given to a worker with [`WorkerBuilder::data`](crate::WorkerBuilder::data).
// A list, since it is short and read for each run.
#[derive(Default)]
pub struct Provided(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl Provided {
    /// Adds data. Returns whether the type was new.
    pub(crate) fn add<T: Clone + Send + Sync + 'static>(&mut self, data: T) -> bool {
        let is_new = self.get::<T>().is_err();
        self.0.push((TypeId::of::<T>(), Box::new(data)));
        is_new
    }

    /// Returns the data of this type.
    ///
    /// # Errors
    /// [`MissingData`] if there is none.
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Result<&T, MissingData> {
        let found = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>());
        found.and_then(|(_, data)| data.downcast_ref()).ok_or(MissingData { type_name: type_name::<T>() })
    }
}
