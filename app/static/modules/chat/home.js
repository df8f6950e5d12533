// The home page of somebody who is signed in: its lines come through the page's own connection.

import { link } from "../live.js";
import { catchUp, showOnHome } from "./home-lines.js";

link.onFrame((event, payload) => {
  if (event === "channels/broadcast") showOnHome(payload);
});
link.onState(({ name }) => {
  if (name === "joined") catchUp();
});
if (link.state.name === "joined") catchUp();
