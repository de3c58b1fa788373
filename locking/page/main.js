// The page: its three parts begin by themselves, so that one without an answer does not hold the others.

import {beginCounter} from "./counter.js";
import {beginItems} from "./items.js";
import {byId} from "./kit/dom.js";
import {openDoor} from "./kit/door.js";
import {wayHome} from "./kit/house.js";
import {themeButton} from "./kit/themebutton.js";
import {beginScenarios} from "./scenarios.js";
import {beginStudy} from "./study.js";

wayHome(byId("up"));
themeButton(byId("theme"));
openDoor(byId("door"));
beginScenarios();
beginItems();
beginCounter();
beginStudy();
