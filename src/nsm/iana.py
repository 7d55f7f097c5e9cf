"""Numbers that IANA and IEEE assign, used by more than one file."""

from typing import Final

# IP protocol numbers: IANA, "Assigned Internet Protocol Numbers".
PROTO_ICMP: Final = 1
PROTO_IGMP: Final = 2
PROTO_IPV4: Final = 4
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_IPV6: Final = 41
PROTO_GRE: Final = 47
PROTO_ESP: Final = 50
PROTO_AH: Final = 51
PROTO_ICMPV6: Final = 58
PROTO_SCTP: Final = 132

# Names as Suricata prints them in ``proto``; others are numbers as text.
PROTO_NAMES: Final = {
    0: "HOPOPT", 1: "ICMP", 2: "IGMP", 4: "IP-in-IP", 6: "TCP", 8: "EGP", 17: "UDP", 33: "DCCP", 41: "IPv6",
    43: "IPv6-Route", 44: "IPv6-Frag", 46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "IPv6-ICMP", 59: "IPv6-NoNxt",
    60: "IPv6-Opts", 88: "EIGRP", 89: "OSPFIGP", 103: "PIM", 108: "IPComp", 112: "VRRP", 115: "L2TP", 132: "SCTP",
    136: "UDPLite", 137: "MPLS-in-IP",
}  # fmt: skip

# Service names by port: IANA, "Service Name and Transport Protocol Port Number Registry".
SERVICE_NAMES: Final = {
    20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "dns", 67: "dhcp", 68: "dhcp", 69: "tftp",
    80: "http", 88: "kerberos", 110: "pop3", 111: "sunrpc", 123: "ntp", 135: "epmap", 137: "netbios-ns",
    138: "netbios-dgm", 139: "netbios-ssn", 143: "imap", 161: "snmp", 162: "snmptrap", 179: "bgp", 389: "ldap",
    443: "https", 445: "microsoft-ds", 465: "submissions", 500: "isakmp", 514: "syslog", 515: "printer", 546: "dhcpv6",
    547: "dhcpv6", 554: "rtsp", 587: "submission", 631: "ipp", 636: "ldaps", 853: "domain-s", 873: "rsync",
    989: "ftps-data", 990: "ftps", 993: "imaps", 995: "pop3s", 1080: "socks", 1194: "openvpn", 1433: "ms-sql-s",
    1521: "oracle", 1723: "pptp", 1812: "radius", 1883: "mqtt", 1900: "ssdp", 2049: "nfs", 3128: "squid",
    3268: "msft-gc", 3306: "mysql", 3389: "ms-wbt-server", 3478: "stun", 3544: "teredo", 4500: "ipsec-nat-t",
    4789: "vxlan", 5060: "sip", 5061: "sips", 5222: "xmpp-client", 5353: "mdns", 5355: "llmnr", 5432: "postgresql",
    5900: "rfb", 5985: "wsman", 6379: "redis", 6667: "ircu", 8080: "http-alt", 8443: "https-alt", 8883: "secure-mqtt",
    9100: "pdl-datastream", 9200: "wap-wsp", 11211: "memcache", 20000: "dnp3", 27017: "mongodb", 51820: "wireguard",
}  # fmt: skip


def proto_name(number: int) -> str:
    """The protocol's name as in EVE, or its number as text."""
    return PROTO_NAMES.get(number, str(number))


def service_name(port: int) -> str:
    """The registered name of a well-known port, or the number as text."""
    return SERVICE_NAMES.get(port, str(port))
