/** One head. */

import { Button, Menu, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import { headQuery, packQuery } from "../api/calls";
import type { Head } from "../api/shapes";
import { Facts } from "../parts/Facts";
import { Heading } from "../parts/Heading";
import { LinkButton } from "../parts/LinkButton";
import { Panel } from "../parts/Panel";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { packInWords } from "../words/recipe";
import { HeadDetails } from "./HeadDetails";

const FILES = [
  ["npz", "NumPy (.npz)"],
  ["safetensors", "safetensors"],
] as const;

export function HeadView() {
  const { headId } = useParams({ from: "/heads/$headId" });
  const head = useQuery(headQuery(headId));
  if (head.isError && !head.data) return <Trouble error={head.error} again={head.refetch} />;
  if (!head.data) return <Waiting lines={14} />;
  return <Whole head={head.data} />;
}

function Whole({ head }: { head: Head }) {
  const pack = useQuery(packQuery(head.pack_id)).data;
  const name = packInWords(pack, head.pack_id);
  return (
    <Stack gap="md">
      <Heading
        title={`${head.method} of ${name}`}
        under={
          <>
            <code>{head.head_id}</code> on{" "}
            <Link to="/packs/$packId" params={{ packId: head.pack_id }} className="link">
              {head.pack_id}
            </Link>
          </>
        }
      >
        <LinkButton variant="default" to="/compare" search={{ left: head.head_id }}>
          Compare with…
        </LinkButton>
        <Menu>
          <Menu.Target>
            <Button>Download</Button>
          </Menu.Target>
          <Menu.Dropdown>
            {FILES.map(([format, label]) => (
              <Menu.Item
                key={format}
                component="a"
                href={`/v1/heads/${head.head_id}/weights?format=${format}`}
              >
                {label}
              </Menu.Item>
            ))}
            <Menu.Item component="a" href={`/v1/heads/${head.head_id}/onnx`}>
              ONNX, network and head in one
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Heading>
      <HeadDetails head={head} />
      <Panel title="Settings">
        <Facts
          facts={Object.entries(head.params).map(([key, value]) => [key, settingInWords(value)])}
        />
      </Panel>
    </Stack>
  );
}

function settingInWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(settingInWords).join(", ");
  if (value === null) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}
