import { Tabs } from "@mantine/core";

import type { Pack } from "../api/shapes";
import { Command } from "../parts/Command";
import { Panel } from "../parts/Panel";
import { snippets } from "../words/snippets";

/** The lines that load this pack. */
export function Loading({ pack }: { pack: Pack }) {
  const all = snippets(pack, window.location.origin);
  return (
    <Panel title="Load it">
      <Tabs defaultValue="Python" keepMounted={false}>
        <Tabs.List mb="sm">
          {all.map(({ name }) => (
            <Tabs.Tab key={name} value={name}>
              {name}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {all.map(({ name, code }) => (
          <Tabs.Panel key={name} value={name}>
            <Command name={`Load with ${name}`} code={code} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </Panel>
  );
}
