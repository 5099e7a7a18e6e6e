// What becomes of orders: ann narrows one to a warrant, cancels it, retries it, hunts, collects what was found, records
// the verdict and revokes the agent; the whole way in the browser.
import { ask, launch, looker, must, note, person, step, tabTo, tell } from "./lib.mjs";

const told = JSON.parse(process.argv[2]);
const faults = [];
const look = looker(told, faults);

/** Sends a form and goes on to what is signed. */
async function drawUp(page) {
  await page.click("button.main");
  await page.waitForURL("**/drafts/*", { timeout: 5000 }).catch(async (error) => {
    throw new Error(`${await page.textContent("main")}: ${error}`);
  });
}

/** Signs what is shown, by keyboard. */
async function sign(page) {
  await tabTo(page, "#passphrase");
  await page.keyboard.type(told.passphrase);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/orders\/o-[a-z0-9]+$/);
  return page.url().split("/").pop();
}

const browser = await launch(told.chromium);
try {
  const { page, origin } = await person(browser, told.ann, faults);
  const open = (path) => page.goto(`${origin}${path}`);
  const settled = () => page.waitForSelector("#live .tally .mark.good", { timeout: 60000 });

  step("the policy");
  await open("/policy");
  await look(page, "policy", ["policy 1 of demo", "ann", "key of the custody log", "SHA-256 of the policy"]);

  step("a scope without its basis is refused");
  await open("/orders/new");
  await page.check("input[value=own]");
  await page.fill("#yaml", told.yaml);
  await page.fill("#filter", "*");
  await page.fill("#case", told.case);
  await page.fill("#reason", told.why);
  await page.getByText("Narrow it to a warrant").click();
  await page.fill("#scope-paths", told.scopePath);
  await page.click("button.main");
  await page.waitForSelector("#errors");
  must((await page.textContent("#errors")).includes("legal basis"), "a scope without a basis is taken");
  must(await page.isVisible("#basis"), "what was typed of the scope is not shown again");
  must((await page.inputValue("#yaml")).split("\n").length > 4, "the lines of the profile run together");
  await page.fill("#basis", told.basis);
  await page.getByText("How fast it goes out").click();
  await page.fill("#per-minute", "60");
  await page.fill("#stop-past", "50");
  await look(page, "new-order-scope", [told.hostShown]);
  await drawUp(page);
  await look(page, "sign-scope", [told.basis, "what lies in", "60 hosts a minute; stops by itself when more than 50 % fail"]);
  const first = await sign(page);
  note("first", first);

  step("ann reads the log of what runs");
  await page.waitForSelector("#live >> text=file_hashes", { timeout: 60000 });
  await page.getByRole("link", { name: "log of" }).first().click();
  await page.waitForSelector("#live td >> text=file_hashes", { timeout: 60000 });
  await look(page, "log", [told.hostShown, "under way"]);
  await page.getByRole("link", { name: "The order" }).click();

  step("ann cancels what runs");
  await page.getByRole("link", { name: "Cancel the order" }).click();
  await look(page, "cancel", ["stops on all of its hosts", told.basis]);
  await page.fill("#reason", told.why);
  await page.check("input[name=sure]");
  await page.fill("#passphrase", "not the passphrase");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#errors");
  must((await page.inputValue("#reason")).startsWith("<script>"), "the reason is lost");
  await page.check("input[name=sure]");
  await sign(page);
  await settled();
  await page.waitForSelector("text=cut short: cancelled by ann");
  await page.reload();
  await look(page, "order-cancelled", [`Cancelled by ann: ${told.whyShown}`]);
  must(await page.getByRole("link", { name: "Cancel the order" }).count() === 0, "what is cancelled can be cancelled");

  step("ann retries it");
  await ask("lighten");
  await page.getByRole("link", { name: "Retry the hosts that failed" }).click();
  await look(page, "retry", [told.hostShown]);
  await drawUp(page);
  await look(page, "sign-retry", ["the order with digest", told.basis]);
  await page.locator("a", { hasText: "Change the order" }).first().click();
  await page.waitForURL(/\/retry\?draft=/);
  await drawUp(page);
  note("retry", await sign(page));
  await look(page, "order-retry", ["It continues the order"]);
  await settled();
  await page.waitForSelector("#arrived table");
  await open(`/orders/${first}`);
  await page.getByRole("heading", { name: "Orders that continue this one" }).waitFor();
  must(await page.locator("#arrived tbody tr").count() === 2, "the results of both orders do not stand together");
  await look(page, "order-retried", [told.hostShown]);

  step("ann has a folder watched");
  await open("/orders/new");
  await page.check("input[value=files]");
  await page.fill("#paths", told.watched);
  await page.getByText("Again and again").click();
  await page.check("input[value=change]");
  await page.fill("#settle", "soon");
  await page.fill("#filter", "*");
  await page.fill("#case", told.case);
  await page.fill("#reason", told.why);
  await page.click("button.main");
  await page.waitForSelector("#errors");
  must((await page.textContent("#errors")).includes('"soon" is not a length of time'), "a settle time of soon is taken");
  must(await page.isChecked("input[value=change]"), "the choice is lost");
  await page.fill("#settle", "1s");
  await page.fill("#captures", "9");
  await page.fill("#expires", "7d");
  await look(page, "new-order-watch", [told.hostShown]);
  await drawUp(page);
  await look(page, "sign-watch", ["whenever something below these paths changes or appears", "9 in all of each host at most"]);
  note("watch", await sign(page));
  await page.waitForSelector("#live .mark >> text=watching", { timeout: 60000 });
  await ask("change");
  await page.waitForFunction(() => document.querySelectorAll("#arrived tbody tr").length > 0, null, { timeout: 60000 })
    .catch(() => page.reload());
  await page.waitForSelector("#arrived table", { timeout: 60000 });
  await look(page, "order-watch", [told.hostShown]);
  must(await page.getByRole("link", { name: "Cancel the order" }).count() === 1, "a watch that goes on can't be cancelled");

  step("ann has a baseline collected every week");
  await open("/orders/new");
  await page.check("input[value=own]");
  await page.fill("#yaml", told.baseline);
  await page.getByText("Again and again").click();
  await page.check("input[value=every]");
  await page.fill("#window", told.window);
  await page.fill("#filter", "*");
  await page.fill("#case", told.case);
  await page.fill("#reason", told.why);
  await page.fill("#expires", "90d");
  await drawUp(page);
  await look(page, "sign-standing", ["one collection of each host every 7d"]);
  note("standing", await sign(page));
  await page.waitForSelector("#live .mark >> text=standing", { timeout: 60000 });

  step("ann hunts");
  await open("/hunts/new");
  await look(page, "hunt-empty");
  await page.fill("#filter", "*");
  await page.fill("#case", told.case);
  await page.fill("#reason", told.why);
  await page.click("button.main");
  await page.waitForSelector("#errors");
  must((await page.textContent("#errors")).includes("Nothing is looked for"), "an empty hunt is taken");
  await page.fill("#digests", `${told.digest}  planted`);
  await page.setInputFiles("#list", told.list);
  await page.fill("#paths", told.hunted);
  await page.fill("#process-names", told.process);
  await page.fill("#ports", String(told.port));
  await look(page, "hunt", [told.hostShown]);
  await drawUp(page);
  await look(page, "sign-hunt", ["hunt_files", "hunt_processes", "hunt_connections", told.digest]);
  const hunt = await sign(page);
  note("hunt", hunt);
  await page.getByRole("link", { name: "Hits" }).click();
  await page.waitForURL("**/hits");
  await page.waitForSelector("#hits:not([data-poll])", { timeout: 60000 });
  await look(page, "hits", [told.fileShown, "sha256", `port ${told.port}`, "harmless"]);

  step("what is ticked stays ticked while hits arrive");
  const planted = page.locator("tbody tr", { hasText: `${told.hunted}/${told.fileShown}` });
  await planted.locator("input").check();
  const kept = await page.evaluate(() => {
    put("hits", document.getElementById("hits").outerHTML);
    return document.querySelectorAll("#hits input:checked").length;
  });
  must(kept === 1, `${kept} hits are ticked after news`);
  await planted.locator("input").uncheck();

  step("ann collects what was found");
  await page.click("button.main");
  await page.waitForSelector("#errors");
  must((await page.textContent("#errors")).includes("No hit is chosen"), "nothing chosen is taken for all");
  await planted.locator("input").check();
  await page.locator("tbody tr", { hasText: "process" }).locator("input").first().check();
  await drawUp(page);
  await look(page, "sign-hits", [told.fileShown, "the order with digest"]);
  note("collected", await sign(page));
  await settled();
  await page.waitForSelector("#arrived table");

  step("ann records what she verified");
  await page.getByRole("button", { name: "Fetch and verify" }).click();
  await page.waitForURL("**/collections/c-*");
  await page.waitForSelector(".verdict", { timeout: 120000 });
  await page.getByRole("link", { name: "Record the verdict" }).click();
  await look(page, "record-verdict", ["part-0001.zip.age"]);
  await tabTo(page, "#passphrase");
  await page.keyboard.type(told.passphrase);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#recorded a");
  await look(page, "recorded", ["Recorded in the custody log"]);
  await page.locator("#recorded a").first().click();
  await look(page, "leaf-verified", ["proven"]);

  step("ann revokes the agent");
  await open("/hosts");
  await page.getByRole("link", { name: told.hostShown }).first().click();
  await page.getByRole("link", { name: "Revoke its agent" }).click();
  await look(page, "revoke", [told.hostShown]);
  await page.check("input[name=sure]");
  await tabTo(page, "#passphrase");
  await page.keyboard.type(told.passphrase);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".mark.bad >> text=revoked");
  await look(page, "host-revoked", ["Revoked from"]);
} finally {
  await browser.close();
}
tell(faults);
