//! A window second by second, minute by minute or hour by hour, for charts.

use crate::record::endpoint::Endpoint;
use crate::registry::Registry;
use crate::series::slot::Slot;
use crate::time::window::Window;

impl Registry {
    /// The seconds, minutes or hours of a window, the oldest first and the running one last: as many as the window asks for. Of one
    /// endpoint, or of all together.
    ///
    /// Costs a pass over what the window of each of these endpoints holds, and allocates only the answer.
    pub fn slots(&self, endpoint: Option<&Endpoint>, window: Window) -> Vec<Slot> {
        let mut slots = vec![Slot::default(); window.units().into()];
        match endpoint {
            Some(endpoint) => endpoint.series().slots(window, &mut slots),
            None => {
                for endpoint in self.inner().endpoints.all() {
                    endpoint.series().slots(window, &mut slots);
                }
            }
        }
        slots
    }
}
