import { render } from "preact";
import { App } from "./app/App";
import { trustOwnScripts } from "./app/trust";
import "./style/base.css";
import "./style/home.css";
import "./style/lobby.css";
import "./style/call.css";
import "./style/stage.css";
import "./style/panel.css";
import "./style/files.css";
import "./style/people.css";

trustOwnScripts();
const root = document.getElementById("app");
if (root) render(<App />, root);
