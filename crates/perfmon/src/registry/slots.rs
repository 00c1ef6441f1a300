//! A window second by second, minute by minute or hour by hour, for charts.

use crate::record::endpoint::Endpoint;
use crate::registry::Registry;
use crate::series::slot::Slot;
use crate::time::window::Window;

impl Registry {
    /// Returns the seconds, minutes or hours of a window, of one endpoint or of all together. The
    /// oldest comes first, the running one last, and there are as many as the window asks for.
    ///
    /// Costs a pass over the window of each of these endpoints, and allocates only the result.
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
