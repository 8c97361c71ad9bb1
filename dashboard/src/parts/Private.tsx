/** What only one's own team sees: the mark of it, and the switch for it. */

import { Badge, Switch, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { sessionQuery } from "../api/session";

export function PrivateMark({ of }: { of: { private: boolean; team: string | null } }) {
  if (!of.private) return null;
  return (
    <Tooltip label={`Only team ${of.team} sees it`}>
      <Badge size="xs" variant="outline" color="gray">
        private
      </Badge>
    </Tooltip>
  );
}

interface SwitchProps {
  value: boolean;
  onChange: (value: boolean) => void;
}

/** Nothing where there are no teams. */
export function PrivateSwitch({ value, onChange }: SwitchProps) {
  const team = useQuery(sessionQuery).data?.team;
  if (!team) return null;
  return (
    <Switch
      size="sm"
      label="Private"
      description={`Only team ${team} sees it, and what is made of it`}
      checked={value}
      onChange={({ currentTarget }) => onChange(currentTarget.checked)}
    />
  );
}
