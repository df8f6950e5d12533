// The shared worker: one connection for all tabs.
import { Hub } from "./hub.js";

const hub = new Hub();
self.onconnect = (event) => hub.connect(event.ports[0]);
