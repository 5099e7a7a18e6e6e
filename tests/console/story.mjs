// A whole investigation in two browsers: ann draws up and signs by keyboard alone, bob approves, the host delivers,
// ann fetches, verifies and reads. What may not happen on the way is collected and told at the end.
import { ask, launch, looker, must, person, step, tabTo, tell } from "./lib.mjs";

const told = JSON.parse(process.argv[2]);
const faults = [];
const look = looker(told, faults);

/** Fills the form of a new order in by keyboard alone, and sends it. */
async function fillIn(page, hosts) {
  await tabTo(page, "input[name=profile]");
  const chosen = () => page.evaluate(() => document.activeElement.value);
  for (let n = 0; n < 20 && await chosen() !== "own"; n += 1) await page.keyboard.press("ArrowDown");
  must(await chosen() === "own", "arrows do not choose a profile");
  for (const [field, text] of [["#yaml", told.yaml], ["#paths", told.paths], ["#filter", hosts], ["#case", told.case],
    ["#reason", told.reason]]) {
    await tabTo(page, field);
    await page.keyboard.insertText(text);
  }
  await tabTo(page, "button.main");
  await page.keyboard.press("Enter");
}

const browser = await launch(told.chromium);
try {
  const ann = await person(browser, told.ann, faults);
  const bob = await person(browser, told.bob, faults);

  step("the address counts once");
  const second = await browser.newContext();
  const stranger = await second.newPage();
  must((await stranger.goto(told.ann)).status() === 403, "the one-time address was taken twice");
  must((await stranger.goto(ann.origin)).status() === 403, "a stranger sees the overview");
  await second.close();

  await look(ann.page, "overview-empty", ["Hosts in touch", "No order is open."]);
  await ann.page.getByRole("link", { name: "All hosts" }).click();
  const host = ann.page.getByRole("link", { name: told.hostShown }).first();
  await host.waitFor();
  must(await ann.page.getByText("wait for approval").count() === 0, "who is no admin is shown who waits");
  await host.click();
  await look(ann.page, "host", [told.hostShown]);

  step("ann draws an order up by keyboard");
  const { page } = ann;
  await page.goto(`${ann.origin}/orders/new`);
  await look(page, "new-order", [told.hostShown]);
  await page.reload();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  must(await page.evaluate(() => document.activeElement.id === "main"), "the skip link does not lead to the content");
  await fillIn(page, "os=windows");
  await page.waitForSelector("#errors");
  must((await page.textContent("#errors")).includes("No host of your agencies fits"), "the error is not told");
  must(await page.evaluate(() => document.activeElement.id === "errors"), "the error has not the focus");
  must(await page.inputValue("#case") === told.case, "what was typed is lost");
  await look(page, "new-order-error");
  await page.goto(`${ann.origin}/orders/new`);
  await fillIn(page, "*");
  await page.waitForURL("**/drafts/*");
  await look(page, "sign", [told.hostShown, told.caseShown, told.reasonShown, "2 signatures", "The profile, to the letter"]);

  step("a wrong passphrase signs nothing");
  await tabTo(page, "#passphrase");
  await page.keyboard.type("not the passphrase");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#errors");
  must((await page.content()).includes(told.passphrase) === false, "the passphrase is in the page");
  await tabTo(page, "#passphrase");
  await page.keyboard.type(told.passphrase);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/orders/o-*");
  const order = page.url();
  const id = order.split("/").pop();
  await look(page, "order-waiting", [told.caseShown, told.hostShown, "waits for 1 more signature"]);

  step("the page survives a server that goes and comes back");
  await page.waitForTimeout(500);
  await ask("kill-server");
  await page.waitForSelector("#trouble:not([hidden])");
  await ask("serve");
  await page.waitForSelector("#trouble[hidden]", { state: "attached", timeout: 60000 });

  step("bob approves");
  await bob.page.goto(`${bob.origin}/approvals`);
  await look(bob.page, "approvals", [told.caseShown]);
  await bob.page.getByRole("link", { name: "Review and sign" }).click();
  await look(bob.page, "approve", [told.caseShown, told.reasonShown, told.hostShown, "artifacts:"]);
  await bob.page.fill("#passphrase", told.passphrase);
  await bob.page.keyboard.press("Enter");
  await bob.page.waitForURL(`**/orders/${id}`);

  step("ann's page reaches the end by itself");
  let pictured = false;
  for (let n = 0; n < 1200 && !(await page.textContent("#live")).includes("1 of 1 hosts settled"); n += 1) {
    if (!pictured && told.screenshots && (await page.textContent("#live")).includes("running")) {
      await page.screenshot({ path: `${told.screenshots}/order-live.png` });
      pictured = true;
    }
    await page.waitForTimeout(100);
  }
  must(page.url() === order, "the page was left");
  await page.waitForSelector(".mark.good >> text=delivered");
  await page.waitForSelector("[data-lacking]", { state: "detached" });
  await page.waitForSelector("#arrived table");
  await look(page, "order-settled", [told.hostShown, "1 of 1 hosts settled"]);

  step("the page says the same without its script");
  const plain = await browser.newContext({ javaScriptEnabled: false });
  await plain.addCookies(await ann.context.cookies());
  const still = await plain.newPage();
  await still.goto(order);
  must((await still.textContent("#live")).includes("delivered"), "without script the order is not shown");
  await plain.close();

  step("ann fetches and verifies");
  await page.getByRole("button", { name: "Fetch and verify" }).click();
  await page.waitForURL("**/collections/c-*");
  await page.waitForSelector(".verdict", { timeout: 120000 });
  const verdict = await page.textContent(".verdict");
  must(/genuine/i.test(verdict) && !/not genuine/i.test(verdict), `the verdict is ${verdict}`);
  await look(page, "collection", [told.hostShown]);
  await page.getByRole("link", { name: "Verification report" }).click();
  await page.waitForSelector("h1 >> text=Acquisition report");
  must(await page.evaluate(() => getComputedStyle(document.querySelector(".verdict")).borderLeftWidth) === "10px", "the report has no style");
  await look(page, "report", [told.pathShown]);

  step("ann reads the evidence");
  await page.goBack();
  await page.getByRole("link", { name: "Read the evidence" }).click();
  await look(page, "case", [told.caseShown, "asked for and not obtained"]);
  const evidence = page.url();
  await page.getByRole("link", { name: "See each with its reason" }).click();
  await look(page, "gaps", [told.pathShown]);

  await page.goto(evidence);
  await page.getByRole("link", { name: "as a tree" }).click();
  await look(page, "processes", [told.commandShown]);

  await page.goto(evidence);
  await page.getByRole("link", { name: "file_hashes", exact: true }).click();
  const sha = page.getByRole("link", { name: "sha256" });
  await sha.click();
  await page.waitForSelector("th[aria-sort=ascending]");
  await page.getByRole("link", { name: "sha256 ▲" }).click();
  await page.waitForSelector("th[aria-sort=descending]");
  await page.selectOption("#column", "path");
  await page.selectOption("#op", "contains");
  await page.fill("#value", "window.__ran");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".mark >> text=1 record");
  await look(page, "table", [told.fileShown]);
  await page.locator("tbody th a").first().click();
  await look(page, "record", [told.fileShown]);

  step("pages of a table go on to the end, and none is shown twice");
  await page.goto(evidence);
  await page.getByRole("link", { name: "file_hashes", exact: true }).click();
  await page.getByRole("link", { name: "path", exact: true }).click();
  await page.waitForSelector("th[aria-sort]");
  const seen = new Set();
  for (let n = 0; n < 20; n += 1) {
    for (const row of await page.locator("tbody th a").allTextContents()) {
      if (seen.has(row)) faults.push(`record ${row} stands on two pages`);
      seen.add(row);
    }
    const next = page.getByRole("link", { name: "Next page" });
    if (await next.count() === 0) break;
    await next.click();
  }
  must(seen.size > told.files, `${seen.size} records of more than ${told.files} were paged through`);

  step("a file's bytes");
  await page.goto(evidence);
  await page.getByRole("link", { name: "files", exact: true }).click();
  await page.selectOption("#column", "path");
  await page.fill("#value", "/etc/os-release");
  await page.keyboard.press("Enter");
  await page.waitForSelector("tbody th a");
  await page.locator("tbody th a").first().click();
  await page.getByRole("link", { name: "Bytes of the file" }).click();
  await look(page, "content", ["PRETTY_NAME", "00000000"]);

  step("search and time");
  await page.goto(evidence);
  await page.fill("#words", "needleword");
  await page.keyboard.press("Enter");
  await page.waitForSelector("tbody th a");
  await look(page, "search", ["processes"]);
  await page.locator("tbody th a").first().click();
  // As an array of JSON, which has its own way to write a control character.
  await look(page, "record-of-a-process", [told.commandShown.replace("\\u{7}", "\\u0007")]);
  await page.goto(evidence);
  await page.getByRole("link", { name: "Timeline" }).click();
  await page.waitForSelector("svg a");
  await look(page, "timeline");
  const whole = await page.locator("#from").inputValue();
  await page.locator("svg a").last().focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/from=/);
  must(await page.locator("#from").inputValue() !== whole, "a bar does not lead closer");
  await page.getByRole("link", { name: "Wider" }).click();
  await look(page, "timeline-closer");

  step("lists and the log");
  for (const [path, name, texts] of [
    ["/", "overview", ["Hosts in touch"]],
    ["/orders", "orders", [told.caseShown]],
    ["/collections", "collections", [told.caseShown, told.hostShown]],
    ["/cases", "cases", [told.caseShown]],
    ["/custody", "custody", ["The log holds", "was signed by one more person"]],
    ["/custody/looked", "looked", ["ann", "handed out to ann"]],
    ["/custody/0", "leaf", ["proven", "Inclusion proof"]],
    ["/nothing", "nothing", ["There is no such page"]],
  ]) {
    await page.goto(`${ann.origin}${path}`);
    await look(page, name, texts);
  }
  must((await ann.context.cookies()).every((c) => c.httpOnly && c.sameSite === "Strict"), "a cookie is not strict");
  const kept = await page.evaluate(() => localStorage.length + sessionStorage.length);
  must(kept === 0, "the browser keeps something");

  step("the console ends by its button");
  await page.goto(`${ann.origin}/`);
  await page.getByRole("button", { name: "End the console" }).click();
  await page.waitForSelector("h1 >> text=The console has ended");
} finally {
  await browser.close();
}
tell(faults);
